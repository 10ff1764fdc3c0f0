//! "Did you mean …?": the known word nearest to what was written.

/// The known word nearest to what was written, if it is near enough to be meant: one slip in three letters.
pub fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if written.len() > 64 {
        return None; // no key is that long, and the distance costs the product of both lengths
    }
    let written = written.to_ascii_lowercase().replace('-', "_");
    known
        .map(|word| (distance(&written, &word.replace('-', "_")), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How many letters must be inserted, dropped, changed or swapped with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_offered_only_when_it_is_near() {
        let keys = ["kind", "path", "host", "interval", "timeout", "fall", "rise", "fast_interval"];
        let near = |written| nearest(written, keys.into_iter());
        assert_eq!(near("intervall"), Some("interval"));
        assert_eq!(near("fast-interval"), Some("fast_interval"));
        assert_eq!(near("tiemout"), Some("timeout"));
        assert_eq!(near("Path"), Some("path"));
        assert_eq!(near("raise"), Some("rise"));
        assert_eq!(near("colour"), None);
        assert_eq!(near(&"interval".repeat(1_000)), None);
    }
}
