use std::time::Duration;

use super::{Admission, Breaker, Policy};

const POLICY: Policy = Policy {
    failures: 3,
    pause: Duration::from_secs(10),
    longest: Duration::from_secs(60),
    trial: Duration::from_secs(5),
};

/// A breaker that opened at this moment.
fn opened(now: u64) -> Breaker {
    let mut breaker = Breaker::default();
    for _ in 0..3 {
        breaker.fail(now, &POLICY);
    }
    breaker
}

#[test]
fn it_opens_at_the_failure_that_is_one_too_many_and_says_so_once() {
    let mut breaker = Breaker::default();
    assert_eq!([breaker.fail(100, &POLICY), breaker.fail(100, &POLICY)], [false, false]);
    assert_eq!(breaker.admit(100, &POLICY), Admission::Allowed);
    assert!(breaker.fail(100, &POLICY));
    assert_eq!(breaker.admit(100, &POLICY), Admission::Refused { until: 110 });
    assert!(breaker.is_open(109));
    assert!(!breaker.is_open(110));
}

#[test]
fn a_success_in_between_starts_the_count_again() {
    let mut breaker = Breaker::default();
    breaker.fail(100, &POLICY);
    breaker.fail(100, &POLICY);
    breaker.succeed();
    assert!(!breaker.fail(100, &POLICY));
    assert_eq!(breaker.failures(), 1);
}

#[test]
fn one_trial_at_a_time_after_the_pause() {
    let mut breaker = opened(100);
    assert_eq!(breaker.admit(110, &POLICY), Admission::Trial);
    assert_eq!(breaker.admit(110, &POLICY), Admission::Refused { until: 115 });
    // A command that died with its trial does not keep the plugin out for ever.
    assert_eq!(breaker.admit(115, &POLICY), Admission::Trial);
    breaker.succeed();
    assert_eq!(breaker.admit(116, &POLICY), Admission::Allowed);
}

#[test]
fn each_failed_trial_doubles_the_pause_up_to_the_longest() {
    let mut breaker = opened(100);
    let mut now = 110;
    for pause in [20, 40, 60, 60, 60] {
        assert_eq!(breaker.admit(now, &POLICY), Admission::Trial);
        assert!(breaker.fail(now, &POLICY));
        assert_eq!(breaker.admit(now, &POLICY), Admission::Refused { until: now + pause });
        now += pause;
    }
    breaker.succeed();
    assert_eq!(opened(500).admit(500, &POLICY), Admission::Refused { until: 510 });
}

#[test]
fn many_failures_never_overflow() {
    let mut breaker = Breaker::default();
    for _ in 0..200 {
        breaker.fail(u64::MAX, &POLICY);
    }
    assert_eq!(
        breaker.admit(u64::MAX - 1, &POLICY),
        Admission::Refused { until: u64::MAX }
    );
}

#[test]
fn a_clock_that_was_set_back_costs_no_more_than_the_longest_pause() {
    let mut breaker = opened(1_000_000);
    assert_eq!(breaker.admit(10, &POLICY), Admission::Refused { until: 70 });
}

#[test]
fn a_clock_at_the_epoch_is_no_closed_breaker() {
    let none = Policy {
        pause: Duration::ZERO,
        ..POLICY
    };
    let mut breaker = Breaker::default();
    for _ in 0..3 {
        breaker.fail(0, &none);
    }
    assert_eq!(breaker.admit(1, &none), Admission::Trial);
}

#[test]
fn it_survives_its_way_through_json() {
    let breaker = opened(100);
    let text = serde_json::to_string(&breaker).unwrap();
    assert_eq!(serde_json::from_str::<Breaker>(&text).unwrap(), breaker);
}
