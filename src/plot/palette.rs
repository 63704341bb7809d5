//! The colors of pictures, on light and dark backgrounds.

use std::fmt::Write as _;

/// How many series or groups have a color of their own.
pub(super) const COLORS: usize = 8;

/// The colors of one background.
struct Theme {
    paper: &'static str,
    ink: &'static str,
    soft: &'static str,
    line: &'static str,
    /// Of what has no color of its own.
    other: &'static str,
    /// Chosen by a search for hues that stay apart in all kinds of color vision, at 3 : 1 or more
    /// against the paper.
    series: [&'static str; COLORS],
}

const LIGHT: Theme = Theme {
    paper: "#ffffff",
    ink: "#1c2430",
    soft: "#5a6472",
    line: "#d5dae1",
    other: "#8b919b",
    series: [
        "#0e34a4", "#b23a04", "#12a889", "#583258", "#317387", "#800700", "#8a71d9", "#b08816",
    ],
};

const DARK: Theme = Theme {
    paper: "#14181f",
    ink: "#e6e9ee",
    soft: "#9aa4b2",
    line: "#39414d",
    other: "#737a85",
    series: [
        "#579dce", "#ed886c", "#b7f9d8", "#a75378", "#78cdf3", "#dd3102", "#8252db", "#f3d22b",
    ],
};

/// The style of all pictures. Variables would be shorter, but not every program that shows an SVG
/// knows them.
pub(super) fn style() -> String {
    let mut style = String::from(
        "svg.seqrec{font-family:system-ui,sans-serif}.seqrec .b{font-weight:600}\
         .seqrec polyline{fill:none;stroke-width:2.5;stroke-linejoin:round}\
         .seqrec .grid{stroke-width:1}.seqrec .under{stroke-width:4}.seqrec .whisker{stroke-width:1.5}.seqrec .axis{stroke-width:1.5}\
         .seqrec .mark{stroke-width:1.5;stroke-dasharray:4 4}\
         .seqrec .halo{paint-order:stroke;stroke-width:5;stroke-linejoin:round}",
    );
    rules(&mut style, &LIGHT);
    style += "@media(prefers-color-scheme:dark){";
    rules(&mut style, &DARK);
    style + "}"
}

fn rules(style: &mut String, theme: &Theme) {
    let Theme {
        paper,
        ink,
        soft,
        line,
        other,
        series,
    } = theme;
    let _ = write!(
        style,
        ".seqrec .paper{{fill:{paper}}}.seqrec text{{fill:{ink}}}.seqrec .soft{{fill:{soft}}}\
         .seqrec .grid{{stroke:{line}}}.seqrec .axis,.seqrec .mark,.seqrec .lead{{stroke:{soft}}}.seqrec .whisker{{stroke:{ink}}}\
         .seqrec .halo,.seqrec .under{{stroke:{paper}}}.seqrec .other{{fill:{other}}}.seqrec .ring{{stroke:{ink};fill:{paper}}}"
    );
    for (number, color) in series.iter().enumerate() {
        let _ = write!(
            style,
            ".seqrec .c{number}{{fill:{color}}}.seqrec .l{number}{{stroke:{color}}}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Color = [f64; 3];

    /// A color of the style as linear light.
    fn linear(color: &str) -> Color {
        let channel = |place: usize| {
            let value = u8::from_str_radix(&color[place..place + 2], 16).unwrap();
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        [1, 3, 5].map(channel)
    }

    fn times(matrix: [Color; 3], color: Color) -> Color {
        matrix.map(|row| row.iter().zip(color).map(|(a, b)| a * b).sum())
    }

    /// The contrast of the Web Content Accessibility Guidelines.
    fn contrast(a: &str, b: &str) -> f64 {
        let luminance = |color| {
            let [red, green, blue] = linear(color);
            0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05
        };
        let (a, b) = (luminance(a), luminance(b));
        (a / b).max(b / a)
    }

    /// How a color looks by Ottosson's Oklab, where distances are those that people see.
    fn seen(color: Color) -> Color {
        let cones = times(
            [
                [0.412_221, 0.536_333, 0.051_446],
                [0.211_903, 0.680_700, 0.107_397],
                [0.088_302, 0.281_719, 0.629_979],
            ],
            color,
        );
        times(
            [
                [0.210_454, 0.793_618, -0.004_072],
                [1.977_998, -2.428_592, 0.450_594],
                [0.025_904, 0.782_772, -0.808_676],
            ],
            cones.map(|cone| cone.max(0.0).cbrt()),
        )
    }

    /// Normal vision, and the lack of each kind of cone: Machado et al., "A Physiologically-based
    /// Model for Simulation of Color Vision Deficiency" (2009).
    const EYES: [[Color; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
        [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
        [
            [1.255_528, -0.076_749, -0.178_779],
            [-0.078_411, 0.930_809, 0.147_602],
            [0.004_733, 0.691_367, 0.303_900],
        ],
    ];

    #[test]
    fn all_eyes_tell_the_colors_apart_and_read_the_text() {
        for theme in [LIGHT, DARK] {
            for text in [theme.ink, theme.soft] {
                assert!(contrast(text, theme.paper) >= 4.5, "{text}");
            }
            for color in theme.series.iter().chain([&theme.other]) {
                assert!(contrast(color, theme.paper) >= 2.99, "{color}");
            }
            for eyes in EYES {
                let colors = theme.series.map(|color| {
                    seen(times(eyes, linear(color)).map(|light| light.clamp(0.0, 1.0)))
                });
                for (place, a) in colors.iter().enumerate() {
                    for (other, b) in colors.iter().enumerate().skip(place + 1) {
                        let apart = a.iter().zip(b).map(|(a, b)| (a - b).powi(2));
                        let apart = apart.sum::<f64>().sqrt();
                        // Twenty of the least steps that are seen side by side.
                        assert!(
                            apart > 0.1,
                            "{} and {}: {apart:.3}",
                            theme.series[place],
                            theme.series[other]
                        );
                    }
                }
            }
        }
    }
}
