//! Superscripts and subscripts in Unicode.

/// Characters and their superscripts, for exponents.
const SUPERSCRIPTS: &[(char, char)] = &[
    ('0', '⁰'),
    ('1', '¹'),
    ('2', '²'),
    ('3', '³'),
    ('4', '⁴'),
    ('5', '⁵'),
    ('6', '⁶'),
    ('7', '⁷'),
    ('8', '⁸'),
    ('9', '⁹'),
    ('+', '⁺'),
    ('−', '⁻'),
    ('a', 'ᵃ'),
    ('b', 'ᵇ'),
    ('c', 'ᶜ'),
    ('d', 'ᵈ'),
    ('e', 'ᵉ'),
    ('g', 'ᵍ'),
    ('h', 'ʰ'),
    ('i', 'ⁱ'),
    ('j', 'ʲ'),
    ('k', 'ᵏ'),
    ('m', 'ᵐ'),
    ('n', 'ⁿ'),
    ('o', 'ᵒ'),
    ('p', 'ᵖ'),
    ('r', 'ʳ'),
    ('s', 'ˢ'),
    ('t', 'ᵗ'),
    ('u', 'ᵘ'),
    ('v', 'ᵛ'),
    ('w', 'ʷ'),
    ('x', 'ˣ'),
    ('y', 'ʸ'),
    ('z', 'ᶻ'),
];

/// Characters and their subscripts, for indices.
const SUBSCRIPTS: &[(char, char)] = &[
    ('0', '₀'),
    ('1', '₁'),
    ('2', '₂'),
    ('3', '₃'),
    ('4', '₄'),
    ('5', '₅'),
    ('6', '₆'),
    ('7', '₇'),
    ('8', '₈'),
    ('9', '₉'),
    ('a', 'ₐ'),
    ('e', 'ₑ'),
    ('h', 'ₕ'),
    ('i', 'ᵢ'),
    ('j', 'ⱼ'),
    ('k', 'ₖ'),
    ('l', 'ₗ'),
    ('m', 'ₘ'),
    ('n', 'ₙ'),
    ('o', 'ₒ'),
    ('p', 'ₚ'),
    ('r', 'ᵣ'),
    ('s', 'ₛ'),
    ('t', 'ₜ'),
    ('u', 'ᵤ'),
    ('v', 'ᵥ'),
    ('x', 'ₓ'),
];

fn to(table: &[(char, char)], c: char) -> Option<char> {
    table.iter().find(|&&(plain, _)| plain == c).map(|&(_, script)| script)
}

fn from(table: &[(char, char)], c: char) -> Option<char> {
    table.iter().find(|&&(_, script)| script == c).map(|&(plain, _)| plain)
}

/// The plain character of a superscript.
pub(super) fn from_superscript(c: char) -> Option<char> {
    from(SUPERSCRIPTS, c)
}

/// The plain character of a subscript.
pub(super) fn from_subscript(c: char) -> Option<char> {
    from(SUBSCRIPTS, c)
}

/// The text in superscripts; `None` if a character has none.
pub(super) fn superscript(text: &str) -> Option<String> {
    text.chars().map(|c| to(SUPERSCRIPTS, c)).collect()
}

/// The text in subscripts; `None` if a character has none.
pub(super) fn subscript(text: &str) -> Option<String> {
    text.chars().map(|c| to(SUBSCRIPTS, c)).collect()
}
