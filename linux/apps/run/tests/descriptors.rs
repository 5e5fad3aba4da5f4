//! A socket of Linux's is a descriptor of the program's like any other: waits over several kinds, copies, children, both ends' closings.

mod world;

use world::{World, program};

/// Runs a case of the script within Linux's own loopback.
fn case(name: &str) {
    let world = World::new();
    let run = world.run(world.under(&["python3", &program("descriptors.py"), name]));
    assert_eq!(run.well().out, format!("{name} ok\n"));
}

macro_rules! cases {
    ($($test:ident: $case:literal;)*) => {
        $(#[test] fn $test() { case($case); })*
    };
}

cases! {
    select_poll_and_epoll_see_all_kinds_of_descriptors: "mixed_waits";
    epoll_by_edges_tells_each_once: "edges";
    a_direction_that_is_closed_leaves_the_other: "half_close";
    a_reset_is_told_as_one: "reset";
    writing_to_who_has_gone_fails: "broken_pipe";
    what_is_not_read_holds_the_writer_back_and_is_not_lost: "back_pressure";
    copies_of_a_descriptor_are_one_socket: "copies";
    sendfile_and_splice_move_bytes: "sendfile_and_splice";
    a_socket_is_inherited_over_fork_and_exec: "inherited";
    a_socket_is_passed_on_over_a_unix_socket: "passed_on";
    processes_accept_on_one_listener: "many_acceptors";
    an_accept_that_may_not_wait_says_so: "accept_does_not_wait";
    datagrams_keep_their_bounds_and_senders: "datagrams";
    control_messages_come_with_datagrams: "control_messages";
    options_are_linuxs_and_timeouts_end_waits: "options";
    both_versions_of_ip_reach_a_listener: "ipv6";
    unix_sockets_stay_the_machines: "machines_own";
}

#[test]
fn threads_and_signals_are_served() {
    let world = World::new();
    let threads = world.compile("threads");
    let run = world.run(world.under(&[threads.to_str().unwrap()]));
    assert_eq!(run.well().out, "threads ok\n");
}
