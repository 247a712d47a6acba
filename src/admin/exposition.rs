//! The metrics page for those who don't read OpenMetrics: Prometheus' text format 0.0.4.

use std::collections::BTreeSet;

use http::{HeaderMap, header};

/// Whether a request says that it reads OpenMetrics, as a Prometheus server does.
pub(super) fn reads_openmetrics(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    accepted.any(|value| {
        let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
        value.contains("application/openmetrics-text")
    })
}

/// An OpenMetrics page in Prometheus' text format ("Exposition formats", "Text-based format").
///
/// There, a counter's family is named as its samples are, with `_total`, and units and the end aren't told.
pub fn prometheus_text(openmetrics: &str) -> String {
    let counters: BTreeSet<&str> = openmetrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        let told = ["# HELP ", "# TYPE "].into_iter().find_map(|told| {
            let (family, rest) = line.strip_prefix(told)?.split_once(' ')?;
            counters.contains(family).then_some((told, family, rest))
        });
        match told {
            Some((told, family, rest)) => text.extend([told, family, "_total ", rest]),
            None if line == "# EOF" || line.starts_with("# UNIT ") => continue,
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_as_their_samples_and_the_rest_stays() {
        let page = "# HELP a_b Things.\n# TYPE a_b counter\na_b_total{c=\"# EOF\"} 1\n# HELP d_seconds Time.\n# TYPE \
                    d_seconds gauge\n# UNIT d_seconds seconds\nd_seconds 2.5\n# EOF\n";
        assert_eq!(
            prometheus_text(page),
            "# HELP a_b_total Things.\n# TYPE a_b_total counter\na_b_total{c=\"# EOF\"} 1\n# HELP d_seconds Time.\n# TYPE \
             d_seconds gauge\nd_seconds 2.5\n"
        );
    }
}
