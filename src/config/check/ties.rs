//! Which routes clash.

use std::collections::HashMap;

use super::Check;
use crate::config::{checked::Route, node::KeyPath};

impl Check<'_> {
    /// Routes that tie: the same request would be wanted by both, and neither is the more specific.
    pub(super) fn clashes(&self, routes: &[Route]) {
        // Those of one host, prefix and shape only: each with each of them all would take the square of ten thousand.
        let mut alike: HashMap<_, Vec<&Route>> = HashMap::new();
        for route in routes {
            let place = (&route.host, &route.prefix, route.path.as_deref().map(shape));
            let others = alike.entry(place).or_default();
            let tied = others.iter().find(|other| tie(route, other));
            if let Some(other) = tied {
                self.fault_at_key(
                    &KeyPath::of(["routes", route.name.as_str()]),
                    format!("routes `{}` and `{}` want the same requests", other.name, route.name),
                    Some("tell them apart by listener, host, prefix, path or methods".into()),
                );
            }
            others.push(route);
        }
    }
}

/// A pattern without the names of its captures.
fn shape(path: &str) -> String {
    let mut shape = String::new();
    let mut pieces = path.split('{');
    shape.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (name, rest) = piece.split_once('}').unwrap_or((piece, ""));
        shape.push_str(if name.starts_with('*') { "{*}" } else { "{}" });
        shape.push_str(rest);
    }
    shape
}

/// Whether two routes of one host, prefix and shape tie.
fn tie(one: &Route, other: &Route) -> bool {
    let same_listener = match (&one.listener, &other.listener) {
        (Some(one), Some(other)) => one == other,
        // A route of every listener is of that one too.
        _ => true,
    };
    let same_methods = match (&one.methods[..], &other.methods[..]) {
        ([], []) => true,
        // Named methods are more specific than all of them.
        ([], _) | (_, []) => false,
        (one, other) => one.iter().any(|method| other.contains(method)),
    };
    same_listener && same_methods
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_a_pattern_is_without_names() {
        assert_eq!(shape("/a/{b}/{*c}"), "/a/{}/{*}");
    }
}
