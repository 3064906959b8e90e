//! The order in which go-yaml writes the keys of a map.

use std::cmp::Ordering;

/// Puts items in go-yaml's order of their names.
///
/// That order goes in circles at times (`x10` stands before `x1y`, which stands before `x2a`, which stands before
/// `x10`), and what the original prints then is chance. The standard library may panic on such an order; this merges,
/// and ends with some order.
pub fn in_order<'n, T: Copy>(mut items: Vec<T>, name: impl Fn(&T) -> &'n str) -> Vec<T> {
    if items.is_sorted_by(|a, b| natural(name(a), name(b)) == Ordering::Less) {
        return items;
    }
    let mut merged = items.clone();
    let mut width = 1;
    while width < items.len() {
        for start in (0..items.len()).step_by(2 * width) {
            let middle = (start + width).min(items.len());
            let end = (start + 2 * width).min(items.len());
            let (mut left, mut right) = (start, middle);
            for place in &mut merged[start..end] {
                let take_left = right == end
                    || (left < middle && natural(name(&items[left]), name(&items[right])) != Ordering::Greater);
                let from = if take_left { &mut left } else { &mut right };
                *place = items[*from];
                *from += 1;
            }
        }
        std::mem::swap(&mut items, &mut merged);
        width *= 2;
    }
    items
}

/// go-yaml's order of keys: letters after other signs, runs of digits by their number.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (left, right) = (a.as_bytes(), b.as_bytes());
    let common = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    match (left.get(common), right.get(common)) {
        (Some(a), Some(b)) if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => a.cmp(b),
        (None, _) | (_, None) => left.len().cmp(&right.len()),
        _ => slow(a, b),
    }
}

fn slow(left: &str, right: &str) -> Ordering {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    for i in 0..left.len().min(right.len()) {
        if left[i] == right[i] {
            continue;
        }
        let (al, bl) = (left[i].is_alphabetic(), right[i].is_alphabetic());
        if al && bl {
            return left[i].cmp(&right[i]);
        }
        if al || bl {
            return if bl { Ordering::Less } else { Ordering::Greater };
        }
        let (mut an, mut bn) = (0_i64, 0_i64);
        if left[i] == '0' || right[i] == '0' {
            for j in (0..i).rev() {
                if !left[j].is_ascii_digit() {
                    break;
                }
                if left[j] != '0' {
                    (an, bn) = (1, 1);
                    break;
                }
            }
        }
        let run = |chars: &[char], mut number: i64| {
            let mut end = i;
            while let Some(digit) = chars.get(end).and_then(|c| c.to_digit(10)) {
                number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
                end += 1;
            }
            (number, end)
        };
        let ((an, ai), (bn, bi)) = (run(&left, an), run(&right, bn));
        return an.cmp(&bn).then(ai.cmp(&bi)).then(left[i].cmp(&right[i]));
    }
    left.len().cmp(&right.len())
}
