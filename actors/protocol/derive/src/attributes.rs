//! Reads the `#[kafka(...)]` attributes of a struct and of its fields.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Attribute, Error, Expr, LitInt, LitStr, Result};

/// Versions from `min` to `max`, both inclusive; `max` is `i16::MAX` for an open range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    pub(crate) min: i16,
    pub(crate) max: i16,
}

impl Range {
    fn parse(literal: &LitStr) -> Result<Self> {
        let text = literal.value();
        let number = |part: &str| {
            part.parse::<i16>()
                .ok()
                .filter(|n| *n >= 0)
                .ok_or_else(|| Error::new(literal.span(), "a range is \"3\", \"3-7\" or \"3+\""))
        };
        let range = if let Some(min) = text.strip_suffix('+') {
            Self {
                min: number(min)?,
                max: i16::MAX,
            }
        } else if let Some((min, max)) = text.split_once('-') {
            Self {
                min: number(min)?,
                max: number(max)?,
            }
        } else {
            Self {
                min: number(&text)?,
                max: number(&text)?,
            }
        };
        if range.min > range.max {
            return Err(Error::new(literal.span(), "the range is empty"));
        }
        Ok(range)
    }

    /// A condition on `form.version`; nothing at all where every version qualifies.
    pub(crate) fn condition(self) -> Option<TokenStream> {
        let Self { min, max } = self;
        match (min > 0, max < i16::MAX) {
            (false, false) => None,
            (true, false) => Some(quote!(form.version >= #min)),
            (false, true) => Some(quote!(form.version <= #max)),
            (true, true) => Some(quote!((#min..=#max).contains(&form.version))),
        }
    }
}

/// What stands on a struct.
#[derive(Default)]
pub(crate) struct StructAttributes {
    pub(crate) versions: Option<Range>,
    pub(crate) flexible: Option<Range>,
}

/// What stands on a field.
#[derive(Default)]
pub(crate) struct FieldAttributes {
    pub(crate) versions: Option<Range>,
    pub(crate) nullable: Option<Range>,
    pub(crate) tag: Option<u32>,
    pub(crate) default: Option<Expr>,
    pub(crate) ignorable: bool,
}

impl StructAttributes {
    pub(crate) fn parse(attributes: &[Attribute], span: Span) -> Result<Self> {
        let mut parsed = Self::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("kafka")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("versions") {
                    parsed.versions = Some(Range::parse(&meta.value()?.parse()?)?);
                } else if meta.path.is_ident("flexible") {
                    parsed.flexible = Some(Range::parse(&meta.value()?.parse()?)?);
                } else {
                    return Err(meta.error("a struct knows `versions` and `flexible`"));
                }
                Ok(())
            })?;
        }
        if parsed.flexible.is_some() && parsed.versions.is_none() {
            return Err(Error::new(
                span,
                "`flexible` belongs to a message, which has `versions`",
            ));
        }
        if parsed.flexible.is_some_and(|range| range.max != i16::MAX) {
            return Err(Error::new(
                span,
                "once flexible, always flexible: write \"9+\"",
            ));
        }
        Ok(parsed)
    }
}

impl FieldAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut parsed = Self::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("kafka")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("versions") {
                    parsed.versions = Some(Range::parse(&meta.value()?.parse()?)?);
                } else if meta.path.is_ident("nullable") {
                    parsed.nullable = Some(Range::parse(&meta.value()?.parse()?)?);
                } else if meta.path.is_ident("tag") {
                    parsed.tag = Some(meta.value()?.parse::<LitInt>()?.base10_parse()?);
                } else if meta.path.is_ident("default") {
                    parsed.default = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("ignorable") {
                    parsed.ignorable = true;
                } else {
                    return Err(meta.error(
                        "a field knows `versions`, `nullable`, `tag`, `default` and `ignorable`",
                    ));
                }
                Ok(())
            })?;
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Result<Range> {
        Range::parse(&LitStr::new(text, Span::call_site()))
    }

    #[test]
    fn ranges_are_one_version_two_bounds_or_open() {
        assert_eq!(range("4").unwrap(), Range { min: 4, max: 4 });
        assert_eq!(range("4-12").unwrap(), Range { min: 4, max: 12 });
        assert_eq!(
            range("9+").unwrap(),
            Range {
                min: 9,
                max: i16::MAX
            }
        );
        for bad in ["", "x", "-3", "5-4", "3-", "+"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }
}
