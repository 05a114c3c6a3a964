//! The figures of one link.

/// What went over the link so far. The figures stop at the end of `u64`: a delta may claim to hold 2⁴⁸
/// transactions, and may be sent again as often as the peer likes.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    pub(super) deltas_sent: u64,
    pub(super) deltas_received: u64,
    pub(super) deltas_duplicate: u64,
    pub(super) snapshots_sent: u64,
}

impl Counts {
    pub(super) fn sent_message(&mut self, bytes: usize) {
        self.bytes_sent = self.bytes_sent.saturating_add(bytes as u64);
    }

    pub(super) fn received_message(&mut self, bytes: usize) {
        self.bytes_received = self.bytes_received.saturating_add(bytes as u64);
    }

    pub(super) fn sent_delta(&mut self, transactions: u64) {
        self.deltas_sent = self.deltas_sent.saturating_add(transactions);
    }

    pub(super) fn received_delta(&mut self, transactions: u64, duplicate: u64) {
        self.deltas_received = self.deltas_received.saturating_add(transactions);
        self.deltas_duplicate = self.deltas_duplicate.saturating_add(duplicate);
    }

    pub(super) fn sent_snapshot(&mut self) {
        self.snapshots_sent = self.snapshots_sent.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A coalesced delta that claims 2⁴⁸ − 1 transactions, sent 65,536 times, passed `u64` and
    /// panicked the driver.
    #[test]
    fn figures_stop_at_the_end_of_u64() {
        const NEARLY: u64 = u64::MAX - 1;
        const CLAIMED: u64 = (1 << 48) - 1;
        let mut counts = Counts {
            bytes_sent: NEARLY,
            bytes_received: NEARLY,
            deltas_sent: NEARLY,
            deltas_received: NEARLY,
            deltas_duplicate: NEARLY,
            snapshots_sent: NEARLY,
        };
        for _ in 0..2 {
            counts.sent_message(100);
            counts.received_message(100);
            counts.sent_delta(CLAIMED);
            counts.sent_snapshot();
            counts.received_delta(CLAIMED, CLAIMED);
        }
        assert_eq!((counts.bytes_sent, counts.bytes_received), (u64::MAX, u64::MAX));
        assert_eq!((counts.deltas_sent, counts.deltas_received), (u64::MAX, u64::MAX));
        assert_eq!((counts.deltas_duplicate, counts.snapshots_sent), (u64::MAX, u64::MAX));
    }
}
