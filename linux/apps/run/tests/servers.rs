//! Servers as they come from the distribution, under lklrun, with the machine's own clients at the other end of a TAP device.

mod world;

use std::fs;
use world::{THERE, World};

/// Has curl fetch `path` so often, so many at a time, and compares each.
fn fetch_all(world: &World, port: u16, path: &str, count: usize, expected: &[u8]) {
    let mut words = vec![
        "curl".to_owned(),
        "-sSf".into(),
        "-Z".into(),
        "--parallel-max".into(),
        "16".into(),
    ];
    for number in 0..count {
        words.extend([
            "-o".into(),
            format!("got{number}"),
            format!("http://{THERE}:{port}/{path}"),
        ]);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    world.run(world.own(&words)).well();
    for number in 0..count {
        assert!(world.read(&format!("got{number}")) == expected, "{number}");
    }
}

#[test]
fn pythons_web_server_serves_a_folder() {
    let world = World::new();
    let noise = world.noise("noise", 5 << 20);
    let server = world.serve(world.under(&["python3", "-m", "http.server", "9000"]), 9000);
    fetch_all(&world, 9000, "noise", 8, &noise);
    assert_eq!(server.end(), Some(128 + 15));
}

#[test]
fn nginx_serves_with_a_master_and_two_workers() {
    let world = World::new();
    let noise = world.noise("noise", 3 << 20);
    let place = world.place().display();
    let config = format!(
        "user root; worker_processes 2; pid {place}/pid; error_log {place}/error.log; daemon off;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; sendfile on; client_body_temp_path {place}/body;\n\
         proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;\n\
         uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
         server {{ listen 8080; root {place}; }} }}\n"
    );
    fs::write(world.place().join("nginx.conf"), config).unwrap();
    let path = format!("{place}/nginx.conf");
    let server = world.serve(world.under(&["nginx", "-c", &path]), 8080);
    fetch_all(&world, 8080, "noise", 60, &noise);
    let log = String::from_utf8(world.read("error.log")).unwrap();
    assert!(
        !log.contains("[alert]") && !log.contains("[emerg]") && !log.contains("[crit]"),
        "{log}"
    );
    // nginx ends in order when its master is asked to.
    assert_eq!(server.end(), Some(0));
}

#[test]
fn redis_serves_its_benchmark() {
    let world = World::new();
    let words = [
        "redis-server",
        "--port",
        "6400",
        "--save",
        "",
        "--protected-mode",
        "no",
    ];
    let server = world.serve(world.under(&words), 6400);
    let benchmark = [
        "redis-benchmark",
        "-h",
        THERE,
        "-p",
        "6400",
        "-n",
        "5000",
        "-c",
        "30",
        "-t",
        "set,get",
        "--csv",
    ];
    let run = world.run(world.own(&benchmark)).well();
    assert!(
        run.out.contains("\"SET\"") && run.out.contains("\"GET\""),
        "{}{}",
        run.out,
        run.err
    );
    let run = world
        .run(world.own(&["redis-cli", "-h", THERE, "-p", "6400", "dbsize"]))
        .well();
    assert_ne!(run.out.trim(), "0");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn node_serves_many_at_once() {
    let world = World::new();
    let script = "require('http').createServer((q, a) => { \
                  let n = 0; q.on('data', d => n += d.length); \
                  q.on('end', () => a.end('x'.repeat(100000) + n)); }).listen(8000)";
    let server = world.serve(world.under(&["node", "-e", script]), 8000);
    let expected = format!("{}0", "x".repeat(100_000));
    fetch_all(&world, 8000, "any", 200, expected.as_bytes());
    let noise = world.noise("noise", 1 << 20);
    let url = format!("http://{THERE}:8000/");
    let run = world
        .run(world.own(&["curl", "-sSf", "--data-binary", "@noise", &url]))
        .well();
    assert!(run.out.ends_with(&format!("x{}", noise.len())));
    assert_eq!(server.end(), Some(128 + 15));
}

#[test]
fn a_server_and_its_client_meet_on_linuxs_own_loopback() {
    let world = World::new();
    world.noise("noise", 1 << 20);
    let script = "python3 -m http.server 9000 --bind 127.0.0.1 >/dev/null 2>&1 & server=$!\n\
                  for n in $(seq 100); do curl -s -o got http://127.0.0.1:9000/noise && break; sleep 0.1; done\n\
                  kill $server; cmp noise got && echo same";
    let run = world.run(world.under(&["sh", "-c", script]));
    assert_eq!(run.well().out, "same\n");
}
