//! Fewer routes that lead to the same networks: one to a whole network, and others to those parts of it that have another gateway.
//!
//! Networks are halves of larger ones. From the smallest on, each network that is there as a whole gets the gateways that are best for it: those that are best for
//! both of its halves, or else those that are best for either. From the largest on, each then takes the gateway that the network around it has, if that is
//! among its own, and needs no route. There is no smaller set of routes for a network that is there as a whole (Draves, King, Venkatachary and Zill, "Constructing
//! optimal IP routing tables", 1999). No route covers a network that none of the given ones leads to.

use super::Route;
use super::routes::joined;
use crate::quantity::Network;
use std::net::IpAddr;

/// A network that is there as a whole.
struct Whole {
    to: Network,
    /// The gateways that are best for it, in order.
    best: Vec<IpAddr>,
    halves: Option<Box<[Whole; 2]>>,
}

/// What is best for two halves.
fn both(one: &[IpAddr], two: &[IpAddr]) -> Vec<IpAddr> {
    let common = one.iter().filter(|via| two.binary_search(via).is_ok());
    let common: Vec<IpAddr> = common.copied().collect();
    if !common.is_empty() {
        return common;
    }
    let mut either = [one, two].concat();
    either.sort_unstable();
    either
}

impl Whole {
    /// Adds the routes that it needs, where what is around it has that gateway.
    fn routes(&self, around: Option<IpAddr>, routes: &mut Vec<Route>) {
        let inherited = around.filter(|via| self.best.binary_search(via).is_ok());
        let via = inherited.or(self.best.first().copied());
        if let (None, Some(via)) = (inherited, via) {
            routes.push(Route { to: self.to, via });
        }
        for half in self.halves.iter().flat_map(|halves| halves.iter()) {
            half.routes(via, routes);
        }
    }
}

/// Routes that lead where the given ones lead, which are of networks that do not overlap, in the order of their addresses.
pub(super) fn covered(given: Vec<Route>) -> Vec<Route> {
    let mut wholes: Vec<Whole> = Vec::new();
    for Route { to, via } in given {
        let mut whole = Whole {
            to,
            best: vec![via],
            halves: None,
        };
        while let Some(to) = wholes.last().and_then(|last| joined(last.to, whole.to))
            && let Some(first) = wholes.pop()
        {
            whole = Whole {
                to,
                best: both(&first.best, &whole.best),
                halves: Some(Box::new([first, whole])),
            };
        }
        wholes.push(whole);
    }
    let mut routes = Vec::new();
    for whole in &wholes {
        whole.routes(None, &mut routes);
    }
    routes
}
