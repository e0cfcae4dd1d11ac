//! Where a falling function crosses zero.

/// Most evaluations for one root; what is found by then is close enough for a field.
const EVALUATIONS: usize = 60;

/// A root and the slope of the function there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Root {
    pub(super) at: f64,
    /// Negative, as the function falls.
    pub(super) slope: f64,
}

/// The root at 0 or above of a function that falls, sought from `guess` on: 0 where it begins below zero. `scale` is
/// about how large a root is; it is found to a millionth of it.
pub(super) fn falling(mut f: impl FnMut(f64) -> f64, guess: f64, scale: f64) -> Root {
    let tolerance = scale * 1e-6;
    let mut left = EVALUATIONS;
    let mut eval = |x: f64| {
        left = left.saturating_sub(1);
        (f(x), left > 0)
    };
    // A bracket around the guess that doubles until the root is inside.
    let mut width = (0.01 * guess).max(1e-3 * scale);
    let mut low = (guess - width).max(0.0);
    let (mut above, mut go_on) = eval(low);
    let mut high = low + 2.0 * width;
    let mut below = f64::NAN;
    if above > 0.0 {
        (below, go_on) = eval(high);
        while below > 0.0 && go_on {
            (low, above) = (high, below);
            width *= 2.0;
            high += 2.0 * width;
            (below, go_on) = eval(high);
        }
    } else {
        while above <= 0.0 && low > 0.0 && go_on {
            (high, below) = (low, above);
            width *= 2.0;
            low = (low - 2.0 * width).max(0.0);
            (above, go_on) = eval(low);
        }
        if above <= 0.0 {
            let step = scale * 1e-3;
            return Root { at: 0.0, slope: ((eval(step).0 - above) / step).min(-f64::MIN_POSITIVE) };
        }
        if below.is_nan() {
            below = eval(high).0;
        }
    }
    let slope = (below - above) / (high - low);
    // Regula falsi, Illinois: the end that stays is given half its weight.
    let mut stayed = 0i8;
    while high - low > tolerance && go_on {
        let inside = (low * below - high * above) / (below - above);
        let x = if inside > low && inside < high { inside } else { 0.5 * (low + high) };
        let y;
        (y, go_on) = eval(x);
        if y.abs() <= 1e-9 * scale {
            (low, high) = (x, x);
        } else if y > 0.0 {
            (low, above) = (x, y);
            if stayed == 1 {
                below *= 0.5;
            }
            stayed = 1;
        } else {
            (high, below) = (x, y);
            if stayed == -1 {
                above *= 0.5;
            }
            stayed = -1;
        }
    }
    Root { at: 0.5 * (low + high), slope: if slope < 0.0 { slope } else { -f64::MIN_POSITIVE } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_found_from_anywhere() {
        let functions: [(&dyn Fn(f64) -> f64, f64); 5] = [
            (&|x| 1_500.0 - x, 1_500.0),
            (&|x| 2e6 - x * x, 2e6f64.sqrt()),
            (&|x| if x < 700.0 { 5.0 } else { 700.0 - x }, 700.0),
            (&|x| -1.0 - x, 0.0),
            (&|x| 1e-3 - x, 1e-3),
        ];
        for (f, root) in functions {
            for guess in [0.0, 1.0, 900.0, 1_500.0, 40_000.0] {
                let found = falling(f, guess, 1_000.0);
                assert!((found.at - root).abs() < 2e-3, "{found:?} where {root} is right, from {guess}");
                assert!(found.slope < 0.0);
            }
        }
    }

    #[test]
    fn what_has_no_root_ends_too() {
        let mut evaluations = 0;
        let found = falling(
            |_| {
                evaluations += 1;
                1.0
            },
            100.0,
            1_000.0,
        );
        assert!(found.at.is_finite() && evaluations <= EVALUATIONS + 1);
        assert!(falling(|_| f64::NAN, 100.0, 1_000.0).at.is_finite());
    }
}
