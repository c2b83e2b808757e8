//! Reads the text that a node's `/metrics` answers with.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// The samples of one reading, each under its name with its labels as they were written.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Parses the Prometheus text format.
    pub fn parse(text: &str) -> Result<Self> {
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (series, value) =
                split_sample(line).with_context(|| format!("not a sample: {line:?}"))?;
            ensure!(samples.insert(series.to_owned(), value).is_none(), "{series} is given twice");
        }
        Ok(Self(samples))
    }

    /// The sum of a metric over all its labels; zero where it has no sample yet.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.0
            .iter()
            .filter(|(series, _)| metric_name(series) == name)
            .map(|(_, value)| value)
            .sum()
    }

    /// The counts of a histogram up to the end of each of its buckets, the ends in order.
    #[must_use]
    pub fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let wanted = format!("{name}_bucket{{le=\"");
        let ends = self.0.iter().filter_map(|(series, count)| {
            let end = series.strip_prefix(&wanted)?.split('"').next()?;
            Some((end.parse::<f64>().unwrap_or(f64::INFINITY), *count))
        });
        let mut ends: Vec<(f64, f64)> = ends.collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        ends
    }

    /// The names of the metrics, without labels.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|series| metric_name(series))
    }
}

fn metric_name(series: &str) -> &str {
    series.split('{').next().unwrap_or(series)
}

fn split_sample(line: &str) -> Option<(&str, f64)> {
    // A label's value may hold spaces, so the series ends at the closing brace where there is one.
    let end = line.rfind('}').map_or_else(|| line.find(' '), |brace| Some(brace + 1))?;
    let (series, rest) = line.split_at(end);
    let name = metric_name(series);
    let first_is_right = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest_is_right = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
    // After the value a time may follow.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    (first_is_right && rest_is_right).then_some((series, value))
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn samples_are_summed_over_their_labels() {
        let text = "# HELP a b\n# TYPE a counter\na_total{x=\"1 } 2\"} 3\na_total{x=\"2\"} 4.5\nb 1 1700000000\n# EOF\n";
        let metrics = Metrics::parse(text).unwrap();
        assert!((metrics.sum("a_total") - 7.5).abs() < f64::EPSILON);
        assert!((metrics.sum("b") - 1.0).abs() < f64::EPSILON);
        assert_eq!(metrics.names().count(), 3);
    }

    #[test]
    fn what_is_no_sample_is_refused() {
        for text in ["<html>", "a", "a one", "1a 1", "a 1\na 2"] {
            assert!(Metrics::parse(text).is_err(), "{text:?}");
        }
    }
}
