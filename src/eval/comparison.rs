//! Reports of several channels side by side.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Metric, Report};

/// Reports of several channels on the same cases: a table with a column each, in which the best
/// value of a row is marked with a star.
///
/// ```
/// use seqrec::channels::baselines;
/// use seqrec::data::synthetic::Synthetic;
/// use seqrec::prelude::*;
///
/// let log = Synthetic::new().with_users(80).with_items(60).generate()?;
/// let split = Split::new(&Dataset::new(log, Filters::default())?, Protocol::LeaveOneOut)?;
/// let evaluation = Evaluation::new(&[10], Seen::Exclude);
/// let compared = evaluation.compare(&baselines(&split.train)?, &split.test, split.catalog())?;
/// println!("{}", compared.table(&[Metric::recall(10)?, Metric::ndcg(10)?]));
/// assert!(compared.best(Metric::recall(10)?).is_some());
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Comparison {
    /// The reports, in the order of the columns.
    pub reports: Vec<NamedReport>,
}

/// The report of a channel, with the channel's name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NamedReport {
    /// The name.
    pub name: String,
    /// The report.
    pub report: Report,
}

impl Comparison {
    /// The report of this name, of the first where there are several.
    pub fn get(&self, name: &str) -> Option<&Report> {
        let mut reports = self.reports.iter();
        Some(&reports.find(|named| named.name == name)?.report)
    }

    /// The name with the highest value of a metric, and the value; the first of equal ones, and
    /// `None` where the metric was not measured.
    pub fn best(&self, metric: Metric) -> Option<(&str, f64)> {
        let values = self.reports.iter();
        let values =
            values.filter_map(|named| Some((named.name.as_str(), named.report.get(metric)?)));
        values.reduce(|best, other| if other.1 > best.1 { other } else { best })
    }

    /// A row for each of these metrics, as it is displayed for all of them.
    pub fn table(&self, metrics: &[Metric]) -> String {
        let rows: Vec<String> = metrics.iter().map(Metric::to_string).collect();
        let first = rows.iter().map(String::len).max().unwrap_or(0);
        let width = |named: &NamedReport| named.name.chars().count().max(6);
        let mut lines = vec![" ".repeat(first)];
        for named in &self.reports {
            lines[0] += &format!("  {:>1$} ", named.name, width(named));
        }
        for (row, &metric) in rows.iter().zip(metrics) {
            let mut line = format!("{row:<first$}");
            let best = self.best(metric).filter(|_| metric.is_a_quality());
            for named in &self.reports {
                let value = named.report.get(metric);
                let mark = match value.is_some() && value == best.map(|(_, best)| best) {
                    true => '*',
                    false => ' ',
                };
                let value = value.map_or("-".to_owned(), |value| format!("{value:.4}"));
                line += &format!("  {value:>0$}{mark}", width(named));
            }
            lines.push(line);
        }
        let lines = lines.iter().map(|line| line.trim_end().to_owned() + "\n");
        lines.collect()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut metrics: Vec<Metric> = Vec::new();
        for (metric, _) in self.reports.iter().flat_map(|named| &named.report) {
            if !metrics.contains(&metric) {
                metrics.push(metric);
            }
        }
        f.write_str(&self.table(&metrics))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared() -> Comparison {
        let named = |name: &str, values: &str| NamedReport {
            name: name.to_owned(),
            report: serde_json::from_str(&format!("{{\"users\":2,\"values\":{{{values}}}}}"))
                .unwrap(),
        };
        let reports = vec![
            named("model", r#""recall@10":0.5,"mean_popularity@10":3.0"#),
            named(
                "session kNN",
                r#""recall@10":0.25,"ndcg@5":0.5,"mean_popularity@10":9.0"#,
            ),
            named("Markov", r#""recall@10":0.5"#),
        ];
        Comparison { reports }
    }

    #[test]
    fn the_best_of_each_row_is_marked() {
        let expected = "\
                    model   session kNN   Markov
recall@10           0.5000*       0.2500    0.5000*
ndcg@5                -           0.5000*      -
";
        let words = |text: &str| -> Vec<Vec<String>> {
            let lines = text.lines();
            lines
                .map(|line| line.split_whitespace().map(str::to_owned).collect())
                .collect()
        };
        let metrics = ["recall@10", "ndcg@5"].map(|name| name.parse().unwrap());
        let table = compared().table(&metrics);
        assert_eq!(words(&table), words(expected), "{table}");
        // The right ends of columns are below each other, but for marks.
        let end = |line: &str, word: &str| line.find(word).map(|start| start + word.len());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(end(lines[0], "session kNN"), end(lines[1], "0.2500"));
        // More of the mean popularity is not better.
        let all = compared().to_string();
        assert!(
            all.lines()
                .any(|line| line.starts_with("mean_popularity@10") && !line.contains('*'))
        );
    }

    #[test]
    fn the_best_is_the_first_of_equal_ones() {
        let compared = compared();
        assert_eq!(
            compared.best("recall@10".parse().unwrap()),
            Some(("model", 0.5))
        );
        assert_eq!(
            compared.best("ndcg@5".parse().unwrap()),
            Some(("session kNN", 0.5))
        );
        assert_eq!(compared.best("mrr@5".parse().unwrap()), None);
        assert_eq!(compared.get("Markov").unwrap().users, 2);
        assert_eq!(compared.get("ALS"), None);
        let written = serde_json::to_value(&compared).unwrap();
        assert_eq!(written[1]["name"], "session kNN");
        assert_eq!(
            serde_json::from_value::<Comparison>(written).unwrap(),
            compared
        );
    }
}
