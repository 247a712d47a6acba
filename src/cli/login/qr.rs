//! An address as a QR code on the terminal.

use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

/// Black on white whatever the terminal's own colours are: not every reader takes an inverted code.
const COLOURS: &str = "\x1b[38;5;16;48;5;231m";
const PLAIN: &str = "\x1b[0m";
/// Wider than this and the lines break on a common terminal.
const WIDEST: usize = 80;

/// The drawing, or `None` where it would be too wide.
pub(super) fn draw(address: &str) -> Option<String> {
    // On a screen nothing is smudged: the least correction makes the smallest code.
    let code = QrCode::with_error_correction_level(address, EcLevel::L).ok()?;
    let drawn = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Dark)
        .light_color(Dense1x2::Light)
        .quiet_zone(true)
        .build();
    let width = drawn.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    let lines = drawn.lines().map(|line| format!("{COLOURS}{line:width$}{PLAIN}"));
    (width <= WIDEST).then(|| lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_address_is_drawn_and_a_very_long_one_is_not() {
        let drawing = draw("https://example.com/device?user_code=WDJB-MJHT").unwrap();
        let lines: Vec<&str> = drawing.lines().collect();
        assert!(lines.len() > 15, "{}", lines.len());
        assert!(
            lines
                .iter()
                .all(|line| line.starts_with(COLOURS) && line.ends_with(PLAIN))
        );
        // Two rows of a square code in each line, and quiet on every side.
        let width = lines[0].chars().count() - COLOURS.len() - PLAIN.len();
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(draw(&format!("https://example.com/{}", "a".repeat(900))).is_none());
    }

    #[test]
    fn dark_modules_are_inked() {
        let drawing = draw("https://example.com/device").unwrap();
        let plain: Vec<&str> = drawing
            .lines()
            .map(|line| line.trim_start_matches(COLOURS).trim_end_matches(PLAIN))
            .collect();
        assert!(plain[0].trim().is_empty(), "the quiet zone is white: {:?}", plain[0]);
        assert!(plain[2].contains('█'), "the finder's edge is black");
    }
}
