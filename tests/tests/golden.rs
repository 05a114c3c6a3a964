//! The book of the protocol: every script in `scripts/` is played and compared, one test a story.
//!
//! `UPDATE_GOLDENFILES=1 cargo test -p crdt-tests --test golden` writes the conversations down anew;
//! read the diff before you keep it. How scripts are written stands in [`crdt_tests::golden`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crdt_tests::golden;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

/// One test for each script, in the order of the book; and one that no script is left out.
macro_rules! stories {
    ($($file:literal $story:ident,)*) => {
        $(
            #[test]
            fn $story() {
                golden::run(&folder().join($file)).expect("every command can be played");
            }
        )*

        #[test]
        fn every_script_in_the_folder_is_played() {
            let told: BTreeSet<String> = [$($file),*].map(str::to_owned).into();
            let found = folder().read_dir().expect("the folder of scripts");
            let name = |entry: std::io::Result<std::fs::DirEntry>| {
                entry.expect("a readable folder").file_name().into_string().expect("a plain name")
            };
            assert_eq!(told, found.map(name).collect());
        }
    };
}

stories! {
    "01-hello.txt" hello_and_first_sync,
    "02-both-have-writes.txt" both_have_written_before_they_meet,
    "03-live.txt" a_live_write_is_pushed_and_acknowledged,
    "04-durable-first.txt" nothing_is_shown_before_it_is_durable,
    "05-relay.txt" a_relay_passes_on_and_does_not_echo,
    "06-triangle.txt" a_triangle_gets_second_copies,
    "07-opened-later.txt" a_document_opened_later_is_asked_for_again,
    "08-coalescing.txt" a_lagging_peer_gets_deltas_merged,
    "09-credit.txt" credit_runs_out_and_comes_back,
    "10-below-the-floor.txt" a_peer_below_the_floor_gets_a_snapshot_then_the_log,
    "11-snapshot-merged.txt" a_snapshot_is_merged_into_own_writes,
    "12-parts.txt" a_long_frame_goes_in_parts,
    "13-cut-between-parts.txt" a_link_cut_between_parts_starts_again,
    "14-slow-peer.txt" a_peer_that_takes_nothing_is_closed,
    "15-ping.txt" silence_is_answered_by_pings_then_the_end,
    "16-both-dialled.txt" of_two_links_both_ends_keep_the_same,
    "17-self-link.txt" a_link_to_oneself_is_closed,
    "18-two-processes.txt" two_processes_with_one_identity_are_told_apart,
    "19-restart.txt" a_restarted_peer_gets_in_once_its_old_link_is_dead,
    "20-crash.txt" a_crash_loses_only_what_nobody_has_seen,
    "21-divergence.txt" a_divergence_is_reported_by_both_ends,
    "22-identity-conflict.txt" an_identity_conflict_ends_the_document,
    "23-conflict-in-the-middle.txt" a_conflict_shows_where_two_histories_meet,
    "24-refused-documents.txt" documents_that_are_too_many_or_too_large_are_refused,
    "25-skipped.txt" unknown_frames_that_may_be_skipped_are,
    "26-other-versions.txt" other_versions_are_refused,
    "27-violations.txt" violations_are_closed_with_their_code,
    "28-lost-delta.txt" a_lost_delta_closes_the_link,
    "29-at-rest.txt" equal_documents_at_rest_are_not_loaded_and_a_delta_waits,
    "30-one-at-a-time.txt" a_peer_is_served_one_document_after_the_other,
    "31-log-loaded-again.txt" a_log_that_is_loaded_again_goes_on_where_it_was,
}
