//! "Did you mean": the known word that a misspelled one is nearest to.

/// How many edits still count as a misspelling.
const EDITS_MAX: usize = 2;

/// The candidate within two edits (insert, delete, replace, swap neighbours) of `word`; the nearest one, and the
/// first of equally near ones. A word is not taken for one with nothing in common.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let near = candidates.into_iter().filter_map(|candidate| {
        let letters: Vec<char> = candidate.to_lowercase().chars().collect();
        let edits = distance(&word, &letters);
        (edits <= EDITS_MAX && edits < letters.len()).then_some((edits, candidate))
    });
    near.min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// The optimal string alignment distance, by rows.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for row in 1..=left.len() {
        let mut current = vec![row; right.len() + 1];
        for column in 1..=right.len() {
            let replace = above[column - 1] + usize::from(left[row - 1] != right[column - 1]);
            current[column] = replace.min(above[column] + 1).min(current[column - 1] + 1);
            let swapped = row > 1
                && column > 1
                && left[row - 1] == right[column - 2]
                && left[row - 2] == right[column - 1];
            if swapped {
                let swap: &Vec<usize> = &before;
                current[column] = current[column].min(swap[column - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, expected: Option<&str>) {
        let known = [
            "ports",
            "selector",
            "type",
            "clusterIP",
            "clusterIPs",
            "externalIPs",
        ];
        assert_eq!(closest(word, known), expected, "{word:?}");
    }

    #[test]
    fn finds_misspellings_and_leaves_strangers_alone() {
        check("prots", Some("ports"));
        check("selectors", Some("selector"));
        check("clusterip", Some("clusterIP"));
        check("clusterIPS", Some("clusterIPs"));
        check("tpye", Some("type"));
        check("replicas", None);
        check("", None);
    }
}
