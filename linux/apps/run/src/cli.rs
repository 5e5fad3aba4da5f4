//! The command line. `--help` and the man page come from this definition.

use crate::run;
use clap::{Parser, ValueHint};
use lkl_net_setup::{NetworkArgs, net_help};
use lkl_session::program::Program;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// The program, for messages.
pub(crate) const PROGRAM: Program = Program::new("lklrun");

/// The program, from beginning to end.
pub fn main() -> ExitCode {
    PROGRAM.main(run::run)
}

/// Run a program on the TCP/IP stack of Linux as a library
///
/// The program and all that it starts are unmodified. Their sockets of IPv4, IPv6, netlink and packets are those of the Linux that
/// lklrun carries, which has an address and a configuration of its own; nothing needs root. Files, processes, terminals and UNIX
/// sockets are the machine's. An interface of that Linux is connected to what --net names; by default that is user-mode NAT.
#[derive(Clone, Debug, Parser)]
#[command(name = "lklrun", version, after_help = MORE, max_term_width = 100)]
pub(crate) struct Cli {
    /// The program and its arguments
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true,
          allow_hyphen_values = true, value_hint = ValueHint::CommandWithArguments)]
    pub program: Vec<OsString>,

    #[command(flatten)]
    pub network: NetworkArgs,

    /// Interfaces, addresses and settings from a file of LKL's JSON, in place of the options of the network
    #[arg(long, value_name = "LKL.json", help_heading = "Network", value_hint = ValueHint::FilePath,
          conflicts_with_all = ["net", "ip", "gateway", "dns", "mtu", "memory", "ipv4", "ipv6"])]
    pub config: Option<PathBuf>,
}

const MORE: &str = concat!(
    net_help!(),
    "
The loopback interface is Linux's own, too: 127.0.0.1 is not the machine's. Names are asked of the servers of --dns, of DHCP or of
the user-mode NAT.

lklrun goes on until the program and all that it has started are gone. Signals that it gets go to the program; once that has
ended, a signal kills what it has left.

Examples:
  lklrun -- curl https://www.debian.org/                     over user-mode NAT
  lklrun --net tap:tap0 --ip 10.9.0.2/24 -- nginx -g 'daemon off;'
  lklrun -- sh -c 'iperf3 -s -1 & sleep 1; iperf3 -c 127.0.0.1'   within Linux's loopback

Exit codes are the program's, 128 and the signal if one has ended it, and:
  1    the network is not as it should be: the message says how
  2    the command line is wrong
  7    Linux stopped (a kernel panic, contained in this process)
  9    no server or router answers
  11   the interface may not be opened by this user
  13   the interface is in use
  126  the program cannot be executed
  127  there is no such program
  130  interrupted before the program was started"
);

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_the_program_is_the_programs() {
        let words = ["lklrun", "--dns", "10.0.0.1", "curl", "--net", "x", "-4"];
        let cli = Cli::try_parse_from(words).unwrap();
        assert_eq!(cli.program, ["curl", "--net", "x", "-4"]);
        assert!(!cli.network.ipv4);
        let cli = Cli::try_parse_from(["lklrun", "-4", "--", "--odd"]).unwrap();
        assert_eq!(cli.program, ["--odd"]);
    }

    #[test]
    fn a_configuration_takes_the_place_of_options() {
        let both = ["lklrun", "--config", "lkl.json", "--net", "slirp", "true"];
        assert!(Cli::try_parse_from(both).is_err());
        let one = Cli::try_parse_from(["lklrun", "--config", "lkl.json", "true"]).unwrap();
        assert!(one.config.is_some());
    }
}
