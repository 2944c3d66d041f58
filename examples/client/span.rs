use std::time::Duration;

/// Longer spans are typing errors, and some overflow a clock: a year, as humantime counts it.
const SPAN_MAX: Duration = Duration::from_secs(31_557_600);

/// A parser of command line arguments, such as `500ms`, `10s` or `1h 30m`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(span) if span <= SPAN_MAX => Ok(span),
        Ok(_) => Err("expected a year at most".into()),
        Err(error) => Err(error.to_string()),
    }
}
