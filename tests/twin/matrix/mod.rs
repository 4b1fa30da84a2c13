//! The fault matrix: every call of a function to AWS, times every fault that it can have. `tests/rights` fails for a
//! kind of request that a function made in any test and no row struck.
//!
//! - [`rows`]: the table, a row for each [`call`]
//! - [`scenarios`]: the operations in which a function sends a request, and the conditions that must hold in the end
//! - [`cell`], [`phone`]: the helpers of a scenario

mod call;
mod cell;
mod phone;
mod rows;
mod scenarios;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::Instant,
};

use sam_twin::faults::Fault;

use self::{
    cell::{Cell, Lane},
    rows::{ROWS, Row},
    scenarios::Scenario,
};

/// Twins that work in parallel; most of a cell is waiting.
const LANES: usize = 6;

/// The stack of a lane.
const STACK_BYTES: usize = 16 << 20;

/// A cell to run.
#[derive(Clone, Copy)]
struct Planned {
    row: &'static Row,
    scenario: Scenario,
    fault: Fault,
    times: u32,
}

impl Planned {
    fn name(&self) -> String {
        format!("{} | {:?} | {} x{}", self.row.call.way, self.scenario, self.fault, self.times)
    }
}

/// Every row with every fault that it can have: struck once, and as often as the request is tried.
fn cells() -> Vec<Planned> {
    let mut cells = Vec::new();
    for row in ROWS {
        for scenario in row.scenarios {
            for fault in row.call.service().faults(row.call.operation()) {
                let attempts = BTreeSet::from([1, row.call.attempts(fault)]);
                cells.extend(attempts.into_iter().map(|times| Planned { row, scenario: *scenario, fault, times }));
            }
        }
    }
    cells
}

#[test]
fn every_row_has_a_unique_way_and_a_scenario() {
    let ways: BTreeSet<&str> = ROWS.iter().map(|row| row.call.way).collect();
    assert_eq!(ways.len(), ROWS.len(), "a way has two rows");
    assert!(ROWS.iter().all(|row| !row.scenarios.is_empty()));
}

#[test]
fn every_fault_at_every_request_ends_well() {
    let started = Instant::now();
    // Selects one row or one scenario, to find a fault in it.
    let only = std::env::var("TIDINGS_MATRIX").unwrap_or_default();
    let cells: Vec<_> = cells().into_iter().filter(|cell| cell.name().contains(&only)).enumerate().collect();
    let total = cells.len();
    let queue = Arc::new(Mutex::new(VecDeque::from(cells)));
    let lanes = (0..LANES.min(total)).map(|_| {
        let queue = queue.clone();
        // Without optimisation, the frame that polls a scenario has room for the futures of all of them.
        std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || work(&queue)).unwrap()
    });
    let mut tally: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut red = Vec::new();
    for lane in lanes.collect::<Vec<_>>() {
        for (cell, ended) in lane.join().unwrap() {
            let (played, green) = tally.entry(cell.row.call.name()).or_default();
            *played += 1;
            match ended {
                Ok(()) => *green += 1,
                Err(why) => red.push(format!("{}: {why}", cell.name())),
            }
        }
    }
    println!("{:<12} {:>6} {:>6}", "function", "cells", "green");
    for (function, (played, green)) in &tally {
        println!("{function:<12} {played:>6} {green:>6}");
    }
    let green: usize = tally.values().map(|(_, green)| green).sum();
    println!("cells: {total}, green: {green}, rows: {}, in {:.1?}", ROWS.len(), started.elapsed());
    assert!(red.is_empty(), "{} red:\n{}", red.len(), red.join("\n"));
    assert_eq!(green, total);
}

/// Runs one cell after the other on one twin.
fn work(queue: &Mutex<VecDeque<(usize, Planned)>>) -> Vec<(Planned, Result<(), String>)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let lane = runtime.block_on(Lane::start());
    let mut ended = Vec::new();
    loop {
        let next = queue.lock().unwrap().pop_front();
        let Some((number, planned)) = next else { break };
        let started = Instant::now();
        let Planned { row, scenario, fault, times } = planned;
        let play = async {
            let cell = Cell::new(&lane, &row.call, fault, times, number).await;
            scenario.play(&cell).await;
            cell.check();
        };
        let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(play))).map_err(why);
        if std::env::var_os("TIDINGS_MATRIX_TIMES").is_some() {
            eprintln!("{:>6} ms {} {}", started.elapsed().as_millis(), planned.name(), result.is_ok());
        }
        lane.world.twin.faults().clear();
        ended.push((planned, result));
    }
    runtime.block_on(lane.end());
    ended
}

fn why(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
