//! What events do to a network.

use super::node::{Place, route_of};
use super::{Changing, Network};
use crate::plan::EventKind;
use std::collections::BTreeMap;
use std::io;

impl Network {
    /// Has an event happen.
    ///
    /// # Errors
    /// Linux's, which leave the network as far as it came.
    pub fn happen(&self, kind: &EventKind) -> io::Result<()> {
        let mut changing = self.changing();
        match kind {
            EventKind::Down(link) => {
                changing.down[*link] = true;
                for (config, interface) in self.links[*link]
                    .ends
                    .iter()
                    .filter_map(|end| self.interface(*end))
                {
                    config.set_down(&interface.name)?;
                }
                Ok(())
            }
            EventKind::Up(link) => {
                changing.down[*link] = false;
                for end in self.links[*link].ends {
                    if !changing.crashed[end.0] {
                        self.bring_up(end, &changing)?;
                    }
                }
                Ok(())
            }
            EventKind::Crash(node) => {
                changing.crashed[*node] = true;
                self.unplug_from(*node);
                let Some(Place { node, config, .. }) = self.place(*node) else {
                    return Ok(());
                };
                node.interfaces
                    .iter()
                    .try_for_each(|interface| config.set_down(&interface.name))
            }
            EventKind::Change(link, line) => {
                let place = &mut changing.lines[*link];
                *place = place.map(|old| old.with(*line));
                let link = &self.links[*link];
                (0..)
                    .zip(*place)
                    .try_for_each(|(direction, line)| self.set_line(link, direction, line))
            }
            EventKind::Route(node, to, via) => {
                changing.routes[*node].insert((to.ip(), to.prefix()), *via);
                let Some(Place { config, .. }) = self.place(*node) else {
                    return Ok(());
                };
                let route = route_of(*node, to.ip(), to.prefix());
                match via {
                    Some(via) => config.replace_route(&route.via(*via)),
                    None => config.delete_route(&route),
                }
            }
        }
    }

    /// Sets an interface up, with the routes through it: Linux has dropped them when it went down.
    fn bring_up(&self, end: (usize, usize), changing: &Changing) -> io::Result<()> {
        let Some(Place { node, config, .. }) = self.place(end.0) else {
            return Ok(());
        };
        let interface = &node.interfaces[end.1];
        config.set_up(&interface.name)?;
        let planned = node.routes.iter();
        let planned = planned.map(|route| ((route.to.ip(), route.to.prefix()), Some(route.via)));
        let mut routes: BTreeMap<_, _> = planned.collect();
        routes.extend(&changing.routes[end.0]);
        for ((to, prefix), via) in routes {
            if let Some(via) = via
                && interface.addresses.iter().any(|network| network.has(via))
            {
                config.replace_route(&route_of(end.0, to, prefix).via(via))?;
            }
        }
        Ok(())
    }

    /// Interfaces whose other end is one of a node's that has crashed have no carrier; those of one Linux see it by themselves.
    fn unplug_from(&self, crashed: usize) {
        for ends in self.links.iter().map(|link| link.ends) {
            for (end, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
                if other.0 == crashed
                    && self.place(end.0).is_some()
                    && let Some(device) = self.devices.get(end.1)
                {
                    device.carrier(false);
                }
            }
        }
    }
}
