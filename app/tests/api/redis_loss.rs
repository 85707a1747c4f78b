//! Redis away and back, and power cuts on either side: what was acknowledged stays counted.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::service::Service;

/// How long a visitor waits for Redis.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asserts what is promised while Redis is away.
fn assert_away(service: &Service, bearer: &str) {
    for _ in 0..2 {
        let began = Instant::now();
        let answer = service.count(bearer);
        let took = began.elapsed();
        answer.assert_error(503, "redis_unavailable");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(took + Duration::from_millis(10) >= PATIENCE, "503 took {took:?}");
        assert!(took < PATIENCE + Duration::from_millis(500), "503 took {took:?}");
    }
    assert_eq!(service.get("/flask/api/ping").status, 200);
    service.get("/flask/api/health").assert_error(503, "redis_unavailable");
    let metrics = service.get("/flask/metrics").text();
    assert!(metrics.contains("flask_redis_up 0"), "{metrics}");
}

/// Asserts that count works within two seconds from now.
fn assert_back(service: &Service, bearer: &str) {
    let began = Instant::now();
    while service.count(bearer).status != 200 {
        assert!(began.elapsed() < Duration::from_secs(2), "not back: {}", service.log());
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(service.get("/flask/api/health").status, 200);
}

#[test]
fn redis_may_come_go_and_return() {
    let mut service = Service::without_redis();
    let bearer = format!("Bearer {}", service.token());
    assert_away(&service, &bearer);
    service.start_redis();
    assert_back(&service, &bearer);
    for _ in 0..2 {
        service.redis().kill();
        assert_away(&service, &bearer);
        service.start_redis();
        assert_back(&service, &bearer);
    }
}

#[test]
fn the_first_visitor_after_its_return_is_counted() {
    let mut service = Service::start();
    let bearer = format!("Bearer {}", service.token());
    service.redis().kill();
    assert_away(&service, &bearer);
    service.start_redis();
    // Nobody asks in the meantime: the connection has to mend by itself.
    thread::sleep(Duration::from_secs(2));
    assert_eq!(service.count(&bearer).status, 200);
}

#[test]
fn a_redis_that_hangs_is_away_too() {
    let mut service = Service::start();
    let bearer = format!("Bearer {}", service.token());
    assert_eq!(service.count(&bearer).status, 200);
    service.redis().signal("STOP");
    assert_away(&service, &bearer);
    service.redis().signal("CONT");
    assert_back(&service, &bearer);
}

/// Counts from four clients until the service stops answering 200; the highest number told.
fn count_until_it_ends(service: &Service, bearer: &str, cut: impl FnOnce() + Send) -> u64 {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let headers = [("authorization", bearer)];
                    let mut highest = 0;
                    while let Ok(answer) = crate::client::send(
                        &service.socket,
                        "GET",
                        "/flask/api/count",
                        &headers,
                        b"",
                    ) {
                        if answer.status != 200 {
                            break;
                        }
                        highest = highest.max(answer.json()["visits"].as_u64().expect("number"));
                    }
                    highest
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(300));
        cut();
        clients.into_iter().map(|client| client.join().expect("client")).max().unwrap_or(0)
    })
}

#[test]
fn a_power_cut_of_redis_loses_no_acknowledged_count() {
    let mut service = Service::start();
    let bearer = format!("Bearer {}", service.token());
    for _ in 0..3 {
        let mut redis = service.redis.take().expect("redis");
        let told = count_until_it_ends(&service, &bearer, || redis.kill());
        assert!(told > 0);
        service.start_redis();
        let kept: u64 = service.redis().ask("GET visits").parse().expect("number");
        assert!(kept >= told, "{told} was told, {kept} is kept");
        assert_back(&service, &bearer);
    }
}

#[test]
fn a_power_cut_of_the_service_loses_no_acknowledged_count() {
    let mut service = Service::start();
    let bearer = format!("Bearer {}", service.token());
    let told = count_until_it_ends(&service, &bearer, || service.signal("KILL"));
    assert!(told > 0);
    let kept: u64 = service.redis().ask("GET visits").parse().expect("number");
    assert!(kept >= told, "{told} was told, {kept} is kept");
    service.wait();
    // The socket it left behind is in nobody's way, and the token still holds.
    service.start_again();
    assert_eq!(service.count(&bearer).json()["visits"], kept + 1);
}

#[test]
fn visitors_at_the_same_moment_get_a_number_each() {
    let service = Service::start();
    let bearer = format!("Bearer {}", service.token());
    let visit = || service.count(&bearer).json()["visits"].as_u64().expect("number");
    let mut numbers: Vec<u64> = thread::scope(|scope| {
        let clients: Vec<_> =
            (0..8).map(|_| scope.spawn(|| (0..50).map(|_| visit()).collect::<Vec<_>>())).collect();
        clients.into_iter().flat_map(|client| client.join().expect("client")).collect()
    });
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=400));
}

#[test]
fn after_a_rush_all_is_on_the_disk_within_a_moment() {
    let mut service = Service::start();
    let bearer = format!("Bearer {}", service.token());
    let mut relaxed = false;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        assert_eq!(service.count(&bearer).status, 200);
        relaxed |= service.redis().ask("CONFIG GET appendfsync").ends_with("no");
    }
    assert!(relaxed, "each count waited for the disk");
    thread::sleep(Duration::from_millis(1500));
    assert!(service.redis().ask("CONFIG GET appendfsync").ends_with("always"));
}

#[test]
fn a_restart_of_redis_fails_no_visitor_and_counts_each_once() {
    let mut service = Service::start();
    let bearer = format!("Bearer {}", service.token());
    let mut redis = service.redis.take().expect("redis");
    let directory = service.directory.path().to_owned();
    let end = Instant::now() + Duration::from_secs(4);

    let (mut numbers, redis) = thread::scope(|scope| {
        let client = || {
            let mut numbers = Vec::new();
            while Instant::now() < end {
                let answer = service.count(&bearer);
                assert_eq!(answer.status, 200, "{answer:?}");
                numbers.push(answer.json()["visits"].as_u64().expect("number"));
            }
            numbers
        };
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(client)).collect();
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(400));
            redis.kill();
            thread::sleep(Duration::from_millis(900));
            redis = crate::redis::Redis::start(&directory);
        }
        let numbers = clients.into_iter().flat_map(|client| client.join().expect("client"));
        (numbers.collect::<Vec<_>>(), redis)
    });

    numbers.sort_unstable();
    let told = u64::try_from(numbers.len()).expect("a number");
    assert!(numbers.into_iter().eq(1..=told), "a number is missing or told twice");
    assert_eq!(redis.ask("GET visits"), told.to_string());
}
