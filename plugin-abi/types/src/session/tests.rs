use std::time::{Duration, Instant};

use super::{Asked, Heard, Host, Limits, Runtime, SessionError};
use crate::frame::{Frame, Kind};

/// A runtime whose host has said READY.
fn serving(limits: Limits) -> (Runtime, Instant) {
    let now = Instant::now();
    let mut runtime = Runtime::new(limits, now);
    assert_eq!(runtime.accept(&frame(Kind::Ready, 0), now), Ok(Heard::Ready));
    (runtime, now)
}

fn frame(kind: Kind, id: u32) -> Frame {
    Frame::new(kind, id, Vec::new())
}

/// A frame that a host must not send breaks the conversation for good.
#[track_caller]
fn check_refused(runtime: &mut Runtime, now: Instant, refused: &Frame, text: &str) {
    assert_eq!(runtime.accept(refused, now).unwrap_err().to_string(), text);
    let after = runtime.accept(&frame(Kind::Log, 0), now).unwrap_err();
    assert_eq!(after.to_string(), "LOG while nothing may follow");
}

#[test]
fn a_call_is_answered_once() {
    let (mut runtime, now) = serving(Limits::default());
    let id = runtime.open_call().unwrap();
    assert_eq!(runtime.accept(&frame(Kind::Log, id), now), Ok(Heard::Report));
    assert_eq!(runtime.accept(&frame(Kind::Reply, id), now), Ok(Heard::Reply));
    check_refused(
        &mut runtime,
        now,
        &frame(Kind::Reply, id),
        "REPLY for call 1, which is not open",
    );
}

#[test]
fn forged_ids_are_refused() {
    for kind in [Kind::Reply, Kind::BrokerCall, Kind::Log, Kind::Metric] {
        let (mut runtime, now) = serving(Limits::default());
        runtime.open_call().unwrap();
        let text = format!("{kind} for call 2, which is not open");
        check_refused(&mut runtime, now, &frame(kind, 2), &text);
    }
}

#[test]
fn what_only_the_runtime_says_is_refused_from_a_host() {
    for kind in [
        Kind::Hello,
        Kind::Call,
        Kind::Cancel,
        Kind::BrokerReply,
        Kind::Ready,
        Kind::Goodbye,
    ] {
        let (mut runtime, now) = serving(Limits::default());
        let id = runtime.open_call().unwrap();
        check_refused(
            &mut runtime,
            now,
            &frame(kind, id),
            &format!("{kind} while the plugin serves"),
        );
    }
}

#[test]
fn nothing_is_called_before_the_plugin_is_ready() {
    let mut runtime = Runtime::new(Limits::default(), Instant::now());
    assert_eq!(
        runtime.open_call().unwrap_err().to_string(),
        "CALL while the plugin starts"
    );
    check_refused(
        &mut runtime,
        Instant::now(),
        &frame(Kind::Reply, 0),
        "REPLY while the plugin starts",
    );
}

#[test]
fn an_answer_without_a_question_to_it_is_refused() {
    let (mut runtime, now) = serving(Limits::default());
    runtime.ping();
    assert_eq!(runtime.accept(&frame(Kind::Ping, 0), now), Ok(Heard::Pong));
    check_refused(&mut runtime, now, &frame(Kind::Ping, 0), "PING while the plugin serves");
}

#[test]
fn a_cancelled_call_may_still_be_answered_but_nobody_waits() {
    let (mut runtime, now) = serving(Limits::default());
    let id = runtime.open_call().unwrap();
    runtime.cancel(id);
    assert_eq!(runtime.accept(&frame(Kind::Reply, id), now), Ok(Heard::Late));
    check_refused(
        &mut runtime,
        now,
        &frame(Kind::Reply, id),
        "REPLY for call 1, which is not open",
    );
}

#[test]
fn effects_are_asked_for_one_at_a_time() {
    let (mut runtime, now) = serving(Limits::default());
    let id = runtime.open_call().unwrap();
    assert_eq!(runtime.accept(&frame(Kind::BrokerCall, id), now), Ok(Heard::Broker));
    runtime.answer();
    assert_eq!(runtime.accept(&frame(Kind::BrokerCall, id), now), Ok(Heard::Broker));
    check_refused(
        &mut runtime,
        now,
        &frame(Kind::BrokerCall, id),
        "BROKER_CALL while the plugin serves",
    );
}

#[test]
fn a_call_is_not_answered_while_it_asks() {
    let (mut runtime, now) = serving(Limits::default());
    let id = runtime.open_call().unwrap();
    runtime.accept(&frame(Kind::BrokerCall, id), now).unwrap();
    check_refused(
        &mut runtime,
        now,
        &frame(Kind::Reply, id),
        "REPLY while a broker call is open",
    );
}

#[test]
fn effects_belong_to_a_call_or_to_start_and_end() {
    let now = Instant::now();
    let mut runtime = Runtime::new(Limits::default(), now);
    assert_eq!(runtime.accept(&frame(Kind::BrokerCall, 0), now), Ok(Heard::Broker));
    runtime.answer();
    runtime.accept(&frame(Kind::Ready, 0), now).unwrap();
    runtime.leave();
    assert_eq!(runtime.accept(&frame(Kind::BrokerCall, 0), now), Ok(Heard::Broker));
    runtime.answer();
    assert_eq!(runtime.accept(&frame(Kind::Goodbye, 0), now), Ok(Heard::Gone));

    let (mut runtime, now) = serving(Limits::default());
    check_refused(
        &mut runtime,
        now,
        &frame(Kind::BrokerCall, 0),
        "BROKER_CALL for call 0, which is not open",
    );
}

#[test]
fn a_call_has_a_budget() {
    let limits = Limits {
        frames_per_call: 3,
        bytes_per_call: 10,
        broker_per_call: 1,
        ..Limits::default()
    };
    let check = |frames: &[Frame], text: &str| {
        let (mut runtime, now) = serving(limits);
        runtime.open_call().unwrap();
        let (last, first) = frames.split_last().unwrap();
        for frame in first {
            runtime.accept(frame, now).unwrap();
            runtime.answer();
        }
        check_refused(&mut runtime, now, last, text);
    };
    let log = frame(Kind::Log, 1);
    check(&vec![log.clone(); 4], "more than 3 frames during one call");
    let metric = Frame::new(Kind::Metric, 1, vec![b'1'; 6]);
    check(&[metric.clone(), metric], "more than 10 bytes during one call");
    let broker = frame(Kind::BrokerCall, 1);
    check(
        &[broker.clone(), log, broker],
        "more than 1 broker calls during one call",
    );
}

#[test]
fn reports_above_the_rate_are_dropped_and_come_again_with_time() {
    let limits = Limits {
        reports_per_second: 10,
        reports_burst: 2,
        dropped: 2,
        ..Limits::default()
    };
    let (mut runtime, start) = serving(limits);
    let mut heard = |millis| runtime.accept(&frame(Kind::Log, 0), start + Duration::from_millis(millis));
    assert_eq!(
        [heard(0), heard(1), heard(2)],
        [Ok(Heard::Report), Ok(Heard::Report), Ok(Heard::Dropped)]
    );
    assert_eq!([heard(101), heard(199)], [Ok(Heard::Report), Ok(Heard::Dropped)]);
    // After any silence no more than the burst.
    assert_eq!([heard(90_000), heard(90_001)], [Ok(Heard::Report), Ok(Heard::Report)]);
    assert_eq!(heard(90_002), Err(SessionError::Flood(2)));
    assert_eq!(runtime.dropped(), 3);
}

#[test]
fn error_ends_a_conversation_at_any_stage() {
    let now = Instant::now();
    let mut starting = Runtime::new(Limits::default(), now);
    assert_eq!(starting.accept(&frame(Kind::Error, 0), now), Ok(Heard::Failed));
    assert!(starting.accept(&frame(Kind::Ready, 0), now).is_err());
    let (mut serving, now) = serving(Limits::default());
    assert_eq!(serving.accept(&frame(Kind::Error, 9), now), Ok(Heard::Failed));
    assert!(serving.open_call().is_err());
}

#[test]
fn both_ends_agree_on_a_whole_conversation() {
    let now = Instant::now();
    let mut runtime = Runtime::new(Limits::default(), now);
    let mut host = Host::default();
    assert_eq!(host.accept(&frame(Kind::Hello, 0)), Ok(Asked::Load));
    assert_eq!(runtime.accept(&frame(Kind::Ready, 0), now), Ok(Heard::Ready));
    for _ in 0..3 {
        let id = runtime.open_call().unwrap();
        assert_eq!(host.accept(&frame(Kind::Call, id)), Ok(Asked::Call));
        host.ask();
        assert_eq!(
            runtime.accept(&frame(Kind::BrokerCall, host.call()), now),
            Ok(Heard::Broker)
        );
        runtime.answer();
        assert_eq!(host.accept(&frame(Kind::BrokerReply, id)), Ok(Asked::Answer));
        assert_eq!(host.accept(&frame(Kind::Cancel, id)), Ok(Asked::Cancel));
        assert_eq!(runtime.accept(&frame(Kind::Reply, host.call()), now), Ok(Heard::Reply));
        host.reply();
        assert_eq!(host.accept(&frame(Kind::Cancel, id)), Ok(Asked::Done));
    }
    runtime.leave();
    assert_eq!(host.accept(&frame(Kind::Goodbye, 0)), Ok(Asked::Leave));
    assert_eq!(runtime.accept(&frame(Kind::Goodbye, 0), now), Ok(Heard::Gone));
}

#[test]
fn a_host_refuses_what_breaks_the_rules() {
    let check = |frames: &[(Kind, u32)], text: &str| {
        let mut host = Host::default();
        let (last, first) = frames.split_last().unwrap();
        for (kind, id) in first {
            host.accept(&frame(*kind, *id)).unwrap();
        }
        assert_eq!(host.accept(&frame(last.0, last.1)).unwrap_err().to_string(), text);
    };
    let hello = (Kind::Hello, 0);
    check(&[(Kind::Call, 1)], "CALL while the host awaits HELLO");
    check(&[hello, hello], "HELLO while a call runs, or the host serves");
    check(&[hello, (Kind::Call, 0)], "call 0 after call 0: ids count up");
    check(
        &[hello, (Kind::Call, 2), (Kind::Call, 3)],
        "CALL while a call runs, or the host serves",
    );
    check(
        &[hello, (Kind::Call, 2), (Kind::Cancel, 3)],
        "CANCEL for call 3, which is not open",
    );
    check(
        &[hello, (Kind::BrokerReply, 0)],
        "BROKER_REPLY for call 0, which is not open",
    );
    check(
        &[hello, (Kind::Call, 2), (Kind::Goodbye, 0)],
        "GOODBYE while a call runs, or the host serves",
    );
    check(
        &[hello, (Kind::Reply, 1)],
        "REPLY while a call runs, or the host serves",
    );
}
