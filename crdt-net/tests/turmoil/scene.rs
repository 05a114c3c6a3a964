//! What a seed decides before a run begins: how many hosts, who dials whom, how the network is, how
//! patient everybody is.

use std::time::{Duration, SystemTime};

use crdt_net::Config;
use turmoil::{Builder, Sim};

use crate::choices::Choices;

/// Far enough from the epoch of UNIX that a host's clock can be behind.
const BEGIN: Duration = Duration::from_secs(1_700_000_000);

/// The setting of one run.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) seed: u64,
    pub(crate) hosts: usize,
    /// Who dials whom, by number.
    pub(crate) dials: Vec<(usize, usize)>,
    /// Limits and delays of the protocol, the same for all.
    pub(crate) sync: Config,
    pub(crate) redial_max_ms: u64,
    /// After how many bytes of deltas the stores want a checkpoint.
    pub(crate) delta_bytes_max: usize,
    /// How long a reader of changes thinks about each.
    pub(crate) watch_pause_ms: u64,
    /// How far the hosts' clocks are ahead of or behind the time.
    pub(crate) skew_ms: Vec<i64>,
    /// For how long faults happen and writes are made.
    pub(crate) storm_ms: u64,
    /// For how long at most replicas may differ after that.
    pub(crate) settle_ms: u64,
    tick_ms: u64,
    latency_max_ms: u64,
    /// How many of a thousand messages break their link; they are lost, and all that are under way with them.
    losses_per_thousand: u64,
    tcp_capacity: usize,
    has_random_order: bool,
}

impl Scene {
    /// Draws everything from the seed.
    pub(crate) fn draw(seed: u64, choices: &mut Choices) -> Self {
        let hosts = choices.between(3, 5) as usize;
        let is_patient = choices.once_in(4);
        let dials = draw_dials(hosts, choices);
        let mut sync = draw_config(is_patient, choices);
        if seed % 2 == 1 {
            // Documents come and go all the time.
            sync.resident_documents_max = 1;
        }
        Self {
            seed,
            hosts,
            dials,
            sync,
            redial_max_ms: if is_patient { 30_000 } else { 2_000 },
            delta_bytes_max: choices.pick(&[2_000, 1024 * 1024]),
            watch_pause_ms: choices.pick(&[0, 0, 100]),
            skew_ms: (0..hosts).map(|_| choices.between(0, 240_000) as i64 - 120_000).collect(),
            storm_ms: choices.between(10_000, 25_000),
            // A silent link is given up after 45 s and dialled again within 30 s; a link that is one too many
            // rests once more. See also `Config::default`.
            settle_ms: if is_patient { 180_000 } else { 60_000 },
            tick_ms: choices.pick(&[2, 5, 10]),
            latency_max_ms: choices.pick(&[1, 20, 100, 300]),
            losses_per_thousand: choices.pick(&[0, 0, 2, 10]),
            tcp_capacity: choices.pick(&[64, 1_024]),
            has_random_order: choices.once_in(2),
        }
    }

    /// Who is linked with `host` once all is well.
    pub(crate) fn neighbours(&self, host: usize) -> Vec<usize> {
        let mut found: Vec<_> = self
            .dials
            .iter()
            .filter_map(|&(from, to)| match host {
                _ if host == from => Some(to),
                _ if host == to => Some(from),
                _ => None,
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Makes the network, without any host in it.
    pub(crate) fn sim(&self) -> Sim<'static> {
        let mut builder = Builder::new();
        builder
            .rng_seed(self.seed)
            .epoch(SystemTime::UNIX_EPOCH + BEGIN)
            .simulation_duration(Duration::from_secs(3_600))
            .tick_duration(Duration::from_millis(self.tick_ms))
            .max_message_latency(Duration::from_millis(self.latency_max_ms))
            .fail_rate(self.losses_per_thousand as f64 / 1_000.0)
            .repair_rate(0.1)
            .tcp_capacity(self.tcp_capacity);
        if self.has_random_order {
            builder.enable_random_order();
        }
        builder.build()
    }
}

/// Draws a shape and in which direction its links are dialled.
fn draw_dials(hosts: usize, choices: &mut Choices) -> Vec<(usize, usize)> {
    let pairs: Vec<(usize, usize)> = match choices.below(4) {
        0 => (0..hosts).flat_map(|low| (low + 1..hosts).map(move |high| (low, high))).collect(),
        1 => (1..hosts).map(|host| (host - 1, host)).collect(),
        2 => (1..hosts).map(|host| (0, host)).collect(),
        _ => (0..hosts).map(|host| (host, (host + 1) % hosts)).collect(),
    };
    let is_mutual = choices.once_in(4);
    let mut dials = Vec::new();
    for (left, right) in pairs {
        let (from, to) = if choices.once_in(2) { (left, right) } else { (right, left) };
        dials.push((from, to));
        if is_mutual {
            dials.push((to, from));
        }
    }
    dials
}

/// Draws limits: those that users get, or small ones at which more happens in less time.
fn draw_config(is_patient: bool, choices: &mut Choices) -> Config {
    let mut config = Config::default();
    if !is_patient {
        config.hello_timeout_ms = 1_500;
        config.ping_after_ms = 1_000;
        config.dead_after_ms = 3_000;
        config.stalled_after_ms = 2_500;
    }
    config.log_bytes_max = choices.pick(&[4_000, config.log_bytes_max]);
    config.chunk_bytes_max = choices.pick(&[4 << 10, config.chunk_bytes_max]);
    config
}
