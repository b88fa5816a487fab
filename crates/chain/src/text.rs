//! Text as it arrives from outside: amounts to be read, and names to be shown in a refusal.

/// A plain decimal integer: digits only, no sign, no leading zeros but "0" itself, at most 39 digits.
pub fn parse_amount(text: &str) -> Option<u128> {
    let plain = !text.is_empty() && text.len() <= 39 && text.bytes().all(|b| b.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

/// At most forty characters of a foreign text, without control characters, for use in an error.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect()
}
