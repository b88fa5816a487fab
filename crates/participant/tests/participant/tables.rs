//! Reading CSV: every refusal with its place and its words, every accepted shape, the calendar,
//! and the data that travels inside the binary.

use std::io::Read;

use dodona_participant::data::{NAMES, bundled};
use dodona_participant::series::{
    MAX_BYTES, MAX_LINE, MAX_MEMBERS, MIN_ROWS, Point, PredictionMatrix, Series, SeriesError, parse_time,
    seasons,
};
use proptest::prelude::*;

/// A good hourly table whose lines can then be spoilt; line n of the file is entry n − 1.
fn good() -> Vec<String> {
    let mut lines = vec!["timestamp,value".to_owned()];
    for i in 0..80 {
        lines.push(
            format!("2024-02-{:02}T{:02}:00:00Z,{i}.5", 28 + i / 24, i % 24)
                .replace("02-30", "03-01")
                .replace("02-31", "03-02"),
        );
    }
    lines
}

fn read(lines: &[String]) -> Result<Series, SeriesError> {
    Series::from_csv("test", lines.join("\n").as_bytes())
}

fn spoilt(line: usize, text: &str) -> String {
    let mut lines = good();
    lines[line - 1] = text.to_owned();
    read(&lines).expect_err("a spoilt table is refused").to_string()
}

#[test]
fn refusals_name_the_place_the_cause_and_the_remedy() {
    let table: [(usize, &str, &[&str]); 22] = [
        (5, "2024-02-28T03:00:00Z,abc", &["line 5, column 2", "`abc` is not a number", "decimal point"]),
        (5, "2024-02-28T03:00:00Z,nan", &["line 5, column 2", "`nan` is not a finite number"]),
        (5, "2024-02-28T03:00:00Z,-inf", &["line 5, column 2", "not a finite number"]),
        (5, "2024-02-28T03:00:00Z,1e400", &["line 5, column 2", "`1e400` is not a finite number"]),
        (5, "2024-02-28T03:00:00Z,", &["line 5, column 2", "the value is empty", "delete the row"]),
        (5, ",3", &["line 5, column 1", "the timestamp is empty"]),
        (5, "2024-02-28T03:00:00Z", &["line 5 has 1 cells", "header has 2"]),
        (5, "2024-02-28T03:00:00Z,1,5", &["line 5 has 3 cells", "decimal comma"]),
        (5, "2024-02-28T02:00:00Z,1", &["line 5, column 1", "the time of line 4 again", "keep one"]),
        (5, "2024-02-28T01:30:00Z,1", &["line 5, column 1", "before the time of line 4", "sort"]),
        (5, "2024-02-30,1", &["line 5, column 1", "`2024-02-30` is not a time", "2024-02-29T13:30:00Z"]),
        (5, "yesterday,1", &["line 5, column 1", "not a time"]),
        (5, "1709089200000,1", &["line 5, column 1", "milliseconds", "divide by 1000"]),
        (5, "2024-02-28T03:00:00Z,\"1", &["line 5, column 2", "quote"]),
        (5, "2024-02-28T03:00:00Z,\"1\"x", &["line 5, column 2", "`1x` is not a number"]),
        (1, "when,what,value", &["line 1", "no column is called `timestamp`", "`when`, `what`, `value`"]),
        (1, "timestamp,a,b", &["line 1", "no column is called `value`"]),
        (1, "timestamp,value,value", &["line 1, column 3", "second column is called `value`"]),
        (1, "timestamp;value", &["line 1", "no column is called `timestamp`", "`timestamp;value`"]),
        (1, "2024-02-27,5", &["line 1", "data where the header belongs", "timestamp,value"]),
        (1, "5,7", &["line 1", "data where the header belongs"]),
        (1, "value", &["line 1", "no column is called `timestamp`"]),
    ];
    for (line, text, words) in table {
        let message = spoilt(line, text);
        for word in words {
            assert!(message.contains(word), "`{text}`: `{message}` lacks `{word}`");
        }
    }
}

#[test]
fn empty_short_and_binary_files_are_refused() {
    for empty in ["", "\n\n", "\u{feff}", "  \r\n"] {
        assert!(matches!(Series::from_csv("x", empty.as_bytes()), Err(SeriesError::Empty)), "{empty:?}");
    }
    let short = read(&good()[..MIN_ROWS]).unwrap_err();
    assert!(matches!(short, SeriesError::TooFewRows { found: 63, needed: 64 }), "{short}");
    assert!(read(&good()[..=MIN_ROWS]).is_ok());
    assert!(matches!(read(&good()[..1]), Err(SeriesError::TooFewRows { found: 0, .. })));

    let mut bytes = good().join("\n").into_bytes();
    let at = bytes.len() - 1;
    bytes[at] = 0xFF;
    let text = Series::from_csv("x", &bytes[..]).unwrap_err().to_string();
    assert!(text.contains("line 81, column 2") && text.contains("UTF-8"), "{text}");
    let utf16 = Series::from_csv("x", &b"\xFF\xFEt\0i\0m\0e\0"[..]).unwrap_err().to_string();
    assert!(utf16.contains("line 1, column 1") && utf16.contains("UTF-8"), "{utf16}");
}

/// The same text again and again.
struct Cycle {
    text: Vec<u8>,
    at: usize,
}

impl Read for Cycle {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = into.len().min(self.text.len() - self.at);
        into[..count].copy_from_slice(&self.text[self.at..self.at + count]);
        self.at = (self.at + count) % self.text.len();
        Ok(count)
    }
}

#[test]
fn endless_lines_and_endless_files_end() {
    let mut lines = good();
    lines[9] = "9".repeat(MAX_LINE + 1);
    assert!(matches!(read(&lines), Err(SeriesError::LineTooLong { line: 10, limit: MAX_LINE })));
    lines[9] = format!("2024-02-28T08:00:00Z,{}1", "0".repeat(MAX_LINE - 22));
    assert_eq!(lines[9].len(), MAX_LINE);
    assert!(read(&lines).is_ok());
    let crlf = lines.join("\r\n");
    assert!(Series::from_csv("x", crlf.as_bytes()).is_ok());

    assert!(matches!(
        Series::from_csv("x", std::io::repeat(b'x')),
        Err(SeriesError::LineTooLong { line: 1, .. })
    ));
    // Blank lines are skipped, but not without end.
    let blank = Cycle { text: [&[b' '; MAX_LINE][..], b"\n"].concat(), at: 0 };
    assert!(matches!(Series::from_csv("x", blank), Err(SeriesError::FileTooBig { limit: MAX_BYTES })));
}

#[test]
fn more_than_five_million_rows_are_refused() {
    struct Rows {
        next: u64,
        left: Vec<u8>,
    }
    impl Read for Rows {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            if self.left.is_empty() {
                for _ in 0..1000 {
                    self.left.extend_from_slice(format!("{},1\n", self.next).as_bytes());
                    self.next += 1;
                }
            }
            let count = into.len().min(self.left.len());
            into[..count].copy_from_slice(&self.left[..count]);
            self.left.drain(..count);
            Ok(count)
        }
    }
    let endless = Rows { next: 0, left: b"timestamp,value\n".to_vec() };
    let error = Series::from_csv("x", endless).unwrap_err();
    assert!(matches!(error, SeriesError::TooManyRows { line: 5_000_002, limit: 5_000_000 }), "{error}");
}

#[test]
fn many_shapes_of_the_same_table_read_the_same() {
    let plain = read(&good()).unwrap();
    assert_eq!((plain.points.len(), plain.step, plain.gaps), (80, 3600, 0));
    assert_eq!((plain.season_day, plain.season_week), (24, 168));
    assert_eq!(plain.points[1], Point { time: 1_709_082_000, value: 1.5 });

    let change = |f: &dyn Fn(&str, &str) -> String| {
        let lines: Vec<String> = good()
            .iter()
            .map(|line| {
                let (time, value) = line.split_once(',').unwrap();
                f(time, value)
            })
            .collect();
        lines
    };
    let header = |time: &str| time == "timestamp";
    let shapes = [
        change(&|t, v| format!("{v},{t}")),
        change(&|t, v| format!("\"{t}\",\"{v}\"")),
        change(&|t, v| format!("  {t} ,\t{v}  ")),
        change(&|t, v| {
            if header(t) { "Timestamp,Value,note".into() } else { format!("{t},{v},\"a, \"\"b\"\"\"") }
        }),
        change(&|t, v| if header(t) { "when,MW".into() } else { format!("{t},{v}") }),
        change(&|t, v| if header(t) { "value,when".into() } else { format!("{v},{t}") }),
        change(&|t, v| format!("{},{v}", t.replace('Z', "+00:00"))),
        change(&|t, v| format!("{},{v}", t.replace('Z', ""))),
        change(&|t, v| format!("{},{v}", t.replace(":00:00Z", ":00").replace('T', " "))),
        change(&|t, v| format!("{},{v}", parse_time(t).map_or(t.to_owned(), |s| s.to_string()))),
        change(&|t, v| format!("{t},{v}\n")),
    ];
    for lines in shapes {
        assert_eq!(read(&lines).unwrap(), plain, "{}", lines[..2].join("\n"));
    }
    let text = good().join("\n");
    assert_eq!(Series::from_csv("test", format!("\u{feff}{text}\n\n").as_bytes()).unwrap(), plain);
    assert_eq!(Series::from_csv("test", text.replace('\n', "\r\n").as_bytes()).unwrap(), plain);
}

#[test]
fn gaps_are_counted_and_nothing_is_filled_in() {
    let mut lines = good();
    lines.remove(40);
    lines.drain(20..25);
    let series = read(&lines).unwrap();
    assert_eq!((series.points.len(), series.gaps, series.step), (74, 2, 3600));
}

#[test]
fn points_in_hand_are_checked_like_a_file() {
    let points = |f: &dyn Fn(i64) -> Point| (0..64).map(f).collect::<Vec<Point>>();
    let plain = |i: i64| Point { time: i * 60, value: 1.0 };
    assert!(Series::from_points("x", points(&plain)).is_ok());
    let nan = points(&|i| Point { value: if i == 9 { f64::NAN } else { 1.0 }, ..plain(i) });
    assert!(matches!(Series::from_points("x", nan), Err(SeriesError::NotFinite { line: 10, .. })));
    let twice = points(&|i| plain(i.min(62)));
    assert!(matches!(Series::from_points("x", twice), Err(SeriesError::DuplicateTime { line: 64, .. })));
    let back = points(&|i| plain(-i));
    assert!(matches!(Series::from_points("x", back), Err(SeriesError::OutOfOrder { line: 2, .. })));
}

#[test]
fn seasons_follow_the_step() {
    assert_eq!(seasons(1800, 0, 4000), (48, 336));
    assert_eq!(seasons(3600, 900, 1000), (24, 168));
    assert_eq!(seasons(300, 0, 1000), (288, 2016));
    assert_eq!(seasons(43_200, 0, 1000), (2, 14));
    assert_eq!(seasons(86_400, 200, 1000), (5, 21));
    assert_eq!(seasons(86_400, 1, 1000), (7, 28));
    assert_eq!(seasons(604_800, 0, 1000), (13, 52));
    assert_eq!(seasons(2_678_400, 0, 1000), (3, 12));
    assert_eq!(seasons(0, 0, 1000).0, 86_400);
}

#[test]
fn times_are_read_by_the_calendar() {
    let table = [
        ("1970-01-01", 0),
        ("1969-12-31T23:59:59Z", -1),
        ("2000-02-29", 951_782_400),
        ("2000-03-01", 951_868_800),
        ("2024-02-29T12:00:00Z", 1_709_208_000),
        ("2100-03-01", 4_107_542_400),
        ("0001-01-01", -62_135_596_800),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
        ("2010-01-01T01:00:00-08:00", 1_262_336_400),
        ("2010-01-01T01:00:00-0800", 1_262_336_400),
        ("2010-01-01T01:00:00-08", 1_262_336_400),
        ("2010-01-01T09:00", 1_262_336_400),
        ("2010-01-01 09:00:00.999Z", 1_262_336_400),
        ("2010-01-01t14:45:00+05:45", 1_262_336_400),
        ("0", 0),
        ("-86400", -86_400),
        ("+1262336400", 1_262_336_400),
    ];
    for (text, seconds) in table {
        assert_eq!(parse_time(text), Some(seconds), "{text}");
    }
}

#[test]
fn what_is_no_time_is_not_taken_for_one() {
    let table = [
        "",
        "-",
        "+",
        "x",
        "1.5",
        "1e9",
        "2023-02-29",
        "1900-02-29",
        "2100-02-29",
        "2024-13-01",
        "2024-00-01",
        "2024-01-00",
        "2024-01-32",
        "2024-04-31",
        "0000-01-01",
        "2024-1-1",
        "2024/01/01",
        "01-01-2024",
        "2024-01-01T",
        "2024-01-01T1",
        "2024-01-01T24:00",
        "2024-01-01T00:60",
        "2024-01-01T00:00:60",
        "2024-01-01T00:00:00.",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00+1",
        "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00+01:60",
        "2024-01-01T00:00:00ZZ",
        "2024-01-01Z",
        "2024-01-01X00:00",
        "２０２４-01-01",
        "99999999999999999999",
        "253402300800",
    ];
    for text in table {
        assert_eq!(parse_time(text), None, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn days_written_out_are_read_back(days in -719_162i64..2_932_897) {
        // The civil date by counting eras of 400 years, an independent way.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        prop_assert_eq!(parse_time(&format!("{year:04}-{month:02}-{day:02}")), Some(days * 86_400));
    }

    #[test]
    fn no_bytes_whatever_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[-0-9,.\"TZ:+\n\r ]{0,200}") {
        let _ = Series::from_csv("x", &bytes[..]);
        let _ = PredictionMatrix::from_csv(&bytes[..]);
        let _ = Series::from_csv("x", format!("timestamp,value\n{text}").as_bytes());
        let _ = PredictionMatrix::from_csv(format!("timestamp,truth,a\n{text}").as_bytes());
        let _ = parse_time(&text);
        let _ = parse_time(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_prediction_matrix_keeps_who_said_what_and_who_was_silent() {
    let text =
        "alice,timestamp,\"bob, the second\",truth\n1,2024-01-01,2,3\n,2024-01-02,-4e1,5\n6,2024-01-03,,7\n";
    let matrix = PredictionMatrix::from_csv(text.as_bytes()).unwrap();
    assert_eq!(matrix.members, ["alice", "bob, the second"]);
    assert_eq!(matrix.truth, [3.0, 5.0, 7.0]);
    assert_eq!((matrix.rows(), matrix.times[2]), (3, 1_704_240_000));
    assert_eq!((matrix.report(0, 0), matrix.report(0, 1)), (Some(1.0), Some(2.0)));
    assert_eq!((matrix.report(1, 0), matrix.report(1, 1)), (None, Some(-40.0)));
    assert_eq!((matrix.report(2, 0), matrix.report(2, 1)), (Some(6.0), None));
    assert_eq!((matrix.report(0, 2), matrix.report(3, 0), matrix.report(usize::MAX, 1)), (None, None, None));
    assert_eq!(
        matrix,
        PredictionMatrix::from_csv(format!("\u{feff}{}", text.replace('\n', "\r\n")).as_bytes()).unwrap()
    );
}

#[test]
fn prediction_matrices_are_refused_with_place_cause_and_remedy() {
    let head = "timestamp,truth,a,b\n2024-01-01,1,2,3\n";
    let long = "n".repeat(65);
    let table = [
        (String::new(), "the file is empty"),
        ("timestamp,truth\n".into(), "line 1: no member"),
        ("timestamp,a,b\n".into(), "no column is called `truth`"),
        ("truth,a,b\n".into(), "no column is called `timestamp`"),
        ("2024-01-01,1,2\n".into(), "data where the header belongs"),
        ("timestamp,truth,truth\n".into(), "line 1, column 3: a second column is called `truth`"),
        ("timestamp,truth,a,a\n".into(), "line 1, column 4: a second column is called `a`"),
        ("timestamp,truth,a,\n".into(), "line 1, column 4: the member has no name"),
        (format!("timestamp,truth,{long}\n"), "line 1, column 3: the name has 65 bytes"),
        (
            format!("timestamp,truth{}\n", (0..=MAX_MEMBERS).map(|i| format!(",m{i}")).collect::<String>()),
            "10001 members",
        ),
        (head.into(), "1 rows are too few: at least 2"),
        (format!("{head}2024-01-02,,1,1\n"), "line 3, column 2: the truth is empty"),
        (format!("{head}2024-01-02,1,1,x\n"), "line 3, column 4: `x` is not a number"),
        (format!("{head}2024-01-02,1,1,NaN\n"), "line 3, column 4: `NaN` is not a finite number"),
        (format!("{head}2024-01-02,1,1\n"), "line 3 has 3 cells and the header has 4"),
        (format!("{head}2024-01-01,1,1,1\n"), "line 3, column 1: `2024-01-01` is the time of line 2 again"),
        (format!("{head}2023-01-01,1,1,1\n"), "line 3, column 1: `2023-01-01` lies before"),
    ];
    for (text, words) in table {
        let message = PredictionMatrix::from_csv(text.as_bytes()).unwrap_err().to_string();
        assert!(message.contains(words), "`{message}` lacks `{words}`");
    }
}

#[test]
fn bundled_series_have_the_rows_and_seasons_they_are_said_to_have() {
    let wanted = [
        ("electricity", 4032, 1800, 0, (48, 336), "MW", "2000-06-05T00:00:00Z", 22_262.0),
        ("temperature", 8759, 3600, 0, (24, 168), "°F", "2010-01-01T09:00:00Z", 39.2),
        ("sp500", 5105, 86_400, 1109, (5, 21), "index points", "2000-01-03", 1455.22),
    ];
    assert_eq!(NAMES.len(), wanted.len());
    for (name, rows, step, gaps, season, unit, first, value) in wanted {
        assert!(NAMES.contains(&name));
        let series = bundled(name).unwrap();
        assert_eq!((series.name.as_str(), series.unit.as_str()), (name, unit));
        assert_eq!((series.points.len(), series.step, series.gaps), (rows, step, gaps), "{name}");
        assert_eq!((series.season_day, series.season_week), season, "{name}");
        assert_eq!(series.points[0], Point { time: parse_time(first).unwrap(), value }, "{name}");
    }
    assert_eq!(bundled("tulips"), None);
}

#[test]
fn development_series_are_read_when_they_are_at_hand() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let root = std::env::var("DODONA_SHARED").unwrap_or_else(|_| default.to_owned());
    let Ok(folder) = std::fs::read_dir(format!("{root}/data")) else {
        println!("no shared data at hand: nothing checked");
        return;
    };
    for entry in folder.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "csv")) {
        let file = std::fs::File::open(entry.path()).unwrap();
        let series = Series::from_csv(entry.file_name().to_string_lossy(), file).unwrap();
        assert!(series.points.len() > 1000 && series.season_day < series.season_week, "{}", series.name);
    }
}
