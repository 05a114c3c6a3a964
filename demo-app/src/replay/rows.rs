//! The rows of a trade file: CSV as it is or compressed with zstd, one checked [`Row`] at a time.
//!
//! How does a hostile file stay harmless? Nothing is read ahead: a compressed file of any size
//! passes through a small buffer, and a row may be [`ROW_BYTES_MAX`] long before it is refused.
//! Columns are found by name, so their order does not matter and further ones are ignored.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crdt_core::limits::KEY_BYTES_MAX;
use crdt_sync::DocumentId;
use csv::StringRecord;
use thiserror::Error;

use self::records::{Place, RecordFault, Records};

mod records;

/// The longest row that is read, in bytes, line end included.
pub const ROW_BYTES_MAX: u64 = 1 << 20;

/// The first four bytes of a zstd frame (RFC 8878, §3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// One row, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line it starts on; the header is line 1.
    pub line: u64,
    /// The document it belongs to: `cart/<customer>`, or `cart/guest-<invoice>`.
    pub cart: DocumentId,
    /// The counter it adds to, letter case and blanks as they are.
    pub stock_code: String,
    /// What it adds; negative takes away.
    pub quantity: i64,
}

/// Why a file could not be read. Rows before the error were given out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RowsError {
    /// There is no such file, or it may not be read.
    #[error("{} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The first line does not name the columns that are needed, each once.
    #[error("line 1: {0}")]
    Header(HeaderProblem),
    /// A row is broken; correct it in the file.
    #[error("line {line} (byte {byte}): {problem}")]
    Row {
        /// The line the row starts on; the header is line 1.
        line: u64,
        /// Where the row starts in the uncompressed file.
        byte: u64,
        /// What is wrong.
        problem: RowProblem,
    },
}

/// What is wrong with a header.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderProblem {
    /// The file is empty.
    #[error("the file is empty; its first line must name the columns")]
    Empty,
    /// A column is missing.
    #[error("there is no column {column:?} among {found:?}")]
    Missing {
        /// The one needed.
        column: &'static str,
        /// Those there are.
        found: Vec<String>,
    },
    /// A column is named twice.
    #[error("the column {column:?} is named twice")]
    Twice {
        /// The one named twice.
        column: &'static str,
    },
}

/// What is wrong with a row.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RowProblem {
    /// The row has more or fewer fields than the header.
    #[error("{found} fields where the header has {expected}")]
    Fields {
        /// Fields of the header.
        expected: u64,
        /// Fields of the row.
        found: u64,
    },
    /// The quantity is no whole number.
    #[error("the quantity {0:?} is not a whole number")]
    Quantity(String),
    /// The quantity needs more than 64 bits.
    #[error("the quantity {0} does not fit in 64 bits")]
    QuantityRange(String),
    /// The stock code is empty.
    #[error("the stock code is empty")]
    NoStockCode,
    /// The stock code is longer than a key may be.
    #[error("the stock code has {bytes} bytes; at most {KEY_BYTES_MAX} are allowed")]
    StockCodeTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Neither customer nor invoice is given.
    #[error("customer and invoice are both blank, so the row belongs to no cart")]
    NoCart,
    /// The customer or invoice is too long for the name of a document.
    #[error("the name of the cart has {bytes} bytes, too many for a document")]
    CartTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The row is not UTF-8.
    #[error("the row is not UTF-8")]
    NotUtf8,
    /// The row is longer than [`ROW_BYTES_MAX`]; often a quote that is never closed.
    #[error("the row is longer than {ROW_BYTES_MAX} bytes; is a quote left open?")]
    TooLong,
    /// A quote is never closed.
    #[error("a quote is opened and never closed")]
    QuoteOpen,
    /// The file cannot be read further, or its compression is damaged.
    #[error("the file cannot be read further: {0}")]
    Read(#[source] io::Error),
}

/// The rows of one file, in order. Ends after the first error.
pub struct Rows {
    reader: csv::Reader<Records<Box<dyn BufRead>>>,
    place: Place,
    columns: Columns,
    record: StringRecord,
    bytes_read: Arc<AtomicU64>,
    bytes_total: u64,
    failed: bool,
}

/// Where the columns are that are needed.
#[derive(Clone, Copy, Debug)]
struct Columns {
    invoice: usize,
    stock_code: usize,
    quantity: usize,
    customer_id: usize,
}

impl Rows {
    /// Opens a file and reads its header. Whether it is compressed is told by its first bytes, not
    /// by its name.
    ///
    /// # Errors
    /// [`RowsError::Open`] or [`RowsError::Header`].
    pub fn open(path: &Path) -> Result<Self, RowsError> {
        let failed = |source| RowsError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let bytes_read = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: file, bytes: Arc::clone(&bytes_read) };
        let plain = decompressed(BufReader::new(counted)).map_err(failed)?;
        let mut rows = Self::read(plain)?;
        (rows.bytes_read, rows.bytes_total) = (bytes_read, metadata.len());
        Ok(rows)
    }

    /// Reads uncompressed CSV from anywhere.
    ///
    /// # Errors
    /// [`RowsError::Header`], or [`RowsError::Row`] if the first line cannot be read at all.
    pub fn read(plain: impl BufRead + 'static) -> Result<Self, RowsError> {
        let plain: Box<dyn BufRead> = Box::new(plain);
        let records = Records::new(plain);
        let place = records.place();
        let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(records);
        let header = reader.headers().map_err(|error| broken(&error, &place))?;
        let columns = Columns::find(header).map_err(RowsError::Header)?;
        let (record, bytes_read) = (StringRecord::new(), Arc::default());
        Ok(Self { reader, place, columns, record, bytes_read, bytes_total: 0, failed: false })
    }

    /// Returns how far the file has been read, and its length; bytes as they lie on disk. Both are
    /// 0 for rows that do not come from a file.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.bytes_read.load(Ordering::Relaxed), self.bytes_total)
    }

    fn next_row(&mut self) -> Result<Option<Row>, RowsError> {
        if !self.reader.read_record(&mut self.record).map_err(|error| broken(&error, &self.place))? {
            return Ok(None);
        }
        let (line, byte) = (self.place.line(), self.place.byte());
        let problem = |problem| RowsError::Row { line, byte, problem };
        self.columns.row(&self.record, line).map(Some).map_err(problem)
    }
}

impl Iterator for Rows {
    type Item = Result<Row, RowsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = self.next_row().transpose();
        self.failed = matches!(row, Some(Err(_)));
        row
    }
}

impl Columns {
    fn find(header: &StringRecord) -> Result<Self, HeaderProblem> {
        if header.is_empty() {
            return Err(HeaderProblem::Empty);
        }
        let place = |column: &'static str| {
            let mut places = header.iter().enumerate().filter(|(_, name)| *name == column);
            match (places.next(), places.next()) {
                (Some((place, _)), None) => Ok(place),
                (Some(_), Some(_)) => Err(HeaderProblem::Twice { column }),
                (None, _) => {
                    let found = header.iter().map(str::to_owned).collect();
                    Err(HeaderProblem::Missing { column, found })
                }
            }
        };
        Ok(Self {
            invoice: place("invoice")?,
            stock_code: place("stock_code")?,
            quantity: place("quantity")?,
            customer_id: place("customer_id")?,
        })
    }

    fn row(self, record: &StringRecord, line: u64) -> Result<Row, RowProblem> {
        let stock_code = &record[self.stock_code];
        match stock_code.len() {
            0 => return Err(RowProblem::NoStockCode),
            1..=KEY_BYTES_MAX => {}
            bytes => return Err(RowProblem::StockCodeTooLong { bytes }),
        }
        let quantity = quantity(&record[self.quantity])?;
        let cart = cart(&record[self.customer_id], &record[self.invoice])?;
        Ok(Row { line, cart, stock_code: stock_code.to_owned(), quantity })
    }
}

/// Names the document of a row: by customer, or by invoice where the customer is blank.
fn cart(customer: &str, invoice: &str) -> Result<DocumentId, RowProblem> {
    let name = match (customer.trim().is_empty(), invoice.trim().is_empty()) {
        (false, _) => format!("cart/{customer}"),
        (true, false) => format!("cart/guest-{invoice}"),
        (true, true) => return Err(RowProblem::NoCart),
    };
    let bytes = name.len();
    DocumentId::new(name).map_err(|_| RowProblem::CartTooLong { bytes })
}

fn quantity(text: &str) -> Result<i64, RowProblem> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        PosOverflow | NegOverflow => RowProblem::QuantityRange(text.to_owned()),
        _ => RowProblem::Quantity(text.to_owned()),
    })
}

/// Says what the CSV parser refused, and where.
fn broken(error: &csv::Error, place: &Place) -> RowsError {
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            RowProblem::Fields { expected: *expected_len, found: *len }
        }
        csv::ErrorKind::Utf8 { .. } => RowProblem::NotUtf8,
        csv::ErrorKind::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(RecordFault::TooLong) => RowProblem::TooLong,
            Some(RecordFault::QuoteOpen) => RowProblem::QuoteOpen,
            // The parser lends its error and does not give it away.
            None => RowProblem::Read(io::Error::new(error.kind(), error.to_string())),
        },
        _ => RowProblem::Read(io::Error::other(error.to_string())),
    };
    RowsError::Row { line: place.line(), byte: place.byte(), problem }
}

/// Undoes the compression, if the file starts as a zstd frame does.
fn decompressed(mut file: impl BufRead + 'static) -> io::Result<Box<dyn BufRead>> {
    if file.fill_buf()?.starts_with(&ZSTD_MAGIC) {
        // The decoder's window is at most 128 MiB, its own default; the rest streams.
        return Ok(Box::new(BufReader::new(zstd::Decoder::with_buffer(file)?)));
    }
    Ok(Box::new(file))
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
