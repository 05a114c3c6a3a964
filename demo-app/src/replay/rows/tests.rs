//! Rows from text: what is accepted, and that each error names its line.

use super::*;

const HEADER: &str = "invoice,stock_code,quantity,timestamp,unit_price,customer_id,country,description\n";

fn rows(body: &str) -> Vec<Result<Row, RowsError>> {
    let text = format!("{HEADER}{body}");
    Rows::read(io::Cursor::new(text)).expect("the header is good").collect()
}

fn row(line: u64, cart: &str, stock_code: &str, quantity: i64) -> Row {
    let cart = DocumentId::new(cart).expect("a short name");
    Row { line, cart, stock_code: stock_code.to_owned(), quantity }
}

fn only_error(body: &str) -> String {
    let mut rows = rows(body);
    let last = rows.pop().expect("at least the error");
    assert!(rows.iter().all(Result::is_ok), "only the last is an error");
    last.expect_err("the last row is broken").to_string()
}

#[test]
fn a_row_names_its_cart_its_code_and_what_it_adds() {
    let read = rows(
        "536365,85123A,6,2010-12-01T08:26,2.55,17850,United Kingdom,HOLDER\n\
                     C5,BANK CHARGES,-2,t,1,,UK,\"a \"\"quoted\"\", one\"\n\
                     7,85123a,+1,t,1, ,UK,Ünïcode ✓\n",
    );
    let read: Vec<Row> = read.into_iter().map(|row| row.expect("good rows")).collect();
    let expected = [
        row(2, "cart/17850", "85123A", 6),
        row(3, "cart/guest-C5", "BANK CHARGES", -2),
        row(4, "cart/guest-7", "85123a", 1),
    ];
    assert_eq!(read, expected);
}

#[test]
fn columns_are_found_by_name_in_any_order() {
    let text = "quantity,more,customer_id,stock_code,invoice\r\n3,x,9,A,1\r\n";
    let mut rows = Rows::read(io::Cursor::new(text)).expect("the header is good");
    assert_eq!(rows.next().expect("one row").expect("a good row"), row(2, "cart/9", "A", 3));
    assert!(rows.next().is_none());
}

#[test]
fn a_quoted_line_break_moves_the_lines_that_follow() {
    let read = rows("1,A,1,t,1,9,UK,\"two\nlines\"\n1,B,1,t,1,9,UK,x\n");
    let lines: Vec<u64> = read.into_iter().map(|row| row.expect("good rows").line).collect();
    assert_eq!(lines, [2, 4]);
    let error = only_error("1,A,1,t,1,9,UK,\"two\r\nlines\"\r\n1,B,?,t,1,9,UK,x\r\n");
    assert!(error.starts_with("line 4 "), "{error}");
}

#[test]
fn blank_lines_are_skipped_and_counted() {
    let error = only_error("1,A,1,t,1,9,UK,x\n\n\n1,B,many,t,1,9,UK,x\n");
    assert!(error.starts_with("line 5 "), "{error}");
    let error = only_error("1,A,1,t,1,9,UK,x\r\n\r\n1,B\r\n");
    assert!(error.starts_with("line 4 "), "{error}");
}

#[test]
fn every_broken_row_names_its_line_and_its_fault() {
    let good = "1,A,1,t,1,9,UK,x\n";
    for (broken, fault) in [
        ("1,A,1.5,t,1,9,UK,x\n", "the quantity \"1.5\" is not a whole number"),
        ("1,A,,t,1,9,UK,x\n", "the quantity \"\" is not a whole number"),
        ("1,A,9223372036854775808,t,1,9,UK,x\n", "the quantity 9223372036854775808 does not fit in 64 bits"),
        ("1,,1,t,1,9,UK,x\n", "the stock code is empty"),
        (",A,1,t,1,,UK,x\n", "customer and invoice are both blank"),
        ("1,A,1,t,1,9,UK\n", "7 fields where the header has 8"),
        ("1,A,1,t,1,9,UK,x,y\n", "9 fields where the header has 8"),
    ] {
        let error = only_error(&format!("{good}{good}{broken}{good}"));
        assert!(error.starts_with("line 4 (byte ") && error.contains(fault), "{error}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_an_error_with_its_line() {
    let mut text = format!("{HEADER}1,A,1,t,1,9,UK,x\n").into_bytes();
    text.extend_from_slice(b"1,A\xff,1,t,1,9,UK,x\n");
    let mut rows = Rows::read(io::Cursor::new(text)).expect("the header is good");
    assert!(rows.next().expect("the first row").is_ok());
    let error = rows.next().expect("the second row").expect_err("not UTF-8").to_string();
    assert!(error.starts_with("line 3 ") && error.ends_with("not UTF-8"), "{error}");
}

#[test]
fn names_at_their_limit_pass_and_one_byte_above_fails() {
    let code = "A".repeat(KEY_BYTES_MAX);
    assert!(rows(&format!("1,{code},1,t,1,9,UK,x\n"))[0].is_ok());
    assert!(only_error(&format!("1,{code}A,1,t,1,9,UK,x\n")).contains("has 1025 bytes"));
    let customer = "9".repeat(1024 - "cart/".len());
    assert!(rows(&format!("1,A,1,t,1,{customer},UK,x\n"))[0].is_ok());
    assert!(only_error(&format!("1,A,1,t,1,{customer}9,UK,x\n")).contains("has 1025 bytes"));
}

#[test]
fn a_row_at_the_limit_passes_and_one_byte_above_fails() {
    let row = |bytes: u64| {
        let start = "1,A,1,t,1,9,UK,";
        format!("{start}{}\n", "x".repeat(bytes as usize - start.len() - 1))
    };
    assert!(rows(&row(ROW_BYTES_MAX))[0].is_ok());
    assert!(only_error(&row(ROW_BYTES_MAX + 1)).contains("longer than 1048576 bytes"));
}

#[test]
fn a_quote_left_open_is_found_at_the_end_or_at_the_limit_of_a_row() {
    let error = only_error("1,A,1,t,1,9,UK,x\n1,A,1,t,1,9,UK,\"x\n1,B,1,t,1,9,UK,x\n");
    assert!(error.starts_with("line 3 ") && error.contains("never closed"), "{error}");
    let endless = io::Cursor::new(format!("{HEADER}1,A,1,t,1,9,UK,\"")).chain(io::repeat(b'x'));
    let mut rows = Rows::read(BufReader::new(endless)).expect("the header is good");
    let error = rows.next().expect("the row").expect_err("endless").to_string();
    assert!(error.starts_with("line 2 ") && error.contains("is a quote left open?"), "{error}");
    assert!(rows.next().is_none(), "nothing after an error");
}

#[test]
fn a_quote_within_a_field_is_just_a_quote() {
    let read = rows("1,A,1,t,1,9,UK,12\" doll\n1,B,1,t,1,9,UK,\"6\"\" \"\n1,C,1,t,1,9,UK,\"\"\n");
    let lines: Vec<u64> = read.into_iter().map(|row| row.expect("good rows").line).collect();
    assert_eq!(lines, [2, 3, 4]);
}

#[test]
fn the_last_row_needs_no_line_end() {
    let read = rows("1,A,1,t,1,9,UK,x\r\n1,B,1,t,1,9,UK,x");
    let lines: Vec<u64> = read.into_iter().map(|row| row.expect("good rows").line).collect();
    assert_eq!(lines, [2, 3]);
}

#[test]
fn a_header_without_a_needed_column_says_which() {
    let refused = |text: &'static str| match Rows::read(io::Cursor::new(text)) {
        Ok(_) => panic!("accepted {text:?}"),
        Err(error) => error.to_string(),
    };
    assert!(refused("").contains("the file is empty"));
    let missing = refused("invoice,stock_code,amount,customer_id\n1,A,1,9\n");
    assert!(missing.starts_with("line 1: there is no column \"quantity\""), "{missing}");
    let twice = refused("invoice,stock_code,quantity,quantity,customer_id\n");
    assert_eq!(twice, "line 1: the column \"quantity\" is named twice");
}
