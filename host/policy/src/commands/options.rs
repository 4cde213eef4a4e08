//! Reading option words the way getopt does, erring towards finding the option looked for.

/// What a wrapper accepts before the command it starts. Anything else makes the wrapper's reading unclear.
pub(super) struct Grammar {
    /// Short options without a value.
    pub(super) flags: &'static str,
    /// Short options with a value, attached or as the next word.
    pub(super) valued: &'static str,
    /// Long options without a value.
    pub(super) long_flags: &'static [&'static str],
    /// Long options with a value, attached by `=` or as the next word.
    pub(super) long_valued: &'static [&'static str],
    /// Operands between the options and the command (`timeout 5 ls` has one).
    pub(super) operands: usize,
}

impl Grammar {
    /// Accepts no options and no operands.
    pub(super) const BARE: Self =
        Self { flags: "", valued: "", long_flags: &[], long_valued: &[], operands: 0 };

    /// The words of the command behind the wrapper's own; `None` if a word is not understood.
    pub(super) fn rest<'w, 'a>(&self, args: &'w [&'a str]) -> Option<&'w [&'a str]> {
        let mut args = args;
        while let Some((first, tail)) = args.split_first() {
            if *first == "--" {
                args = tail;
                break;
            }
            if let Some(long) = first.strip_prefix("--") {
                args = self.after_long(long, tail)?;
            } else if first.len() > 1 && first.starts_with('-') {
                args = self.after_short(&first[1..], tail)?;
            } else {
                break;
            }
        }
        args.get(self.operands..)
    }

    fn after_long<'w, 'a>(&self, long: &str, tail: &'w [&'a str]) -> Option<&'w [&'a str]> {
        match long.split_once('=') {
            Some((name, _)) => self.long_valued.contains(&name).then_some(tail),
            None if self.long_flags.contains(&long) => Some(tail),
            None if self.long_valued.contains(&long) => tail.get(1..),
            None => None,
        }
    }

    fn after_short<'w, 'a>(&self, cluster: &str, tail: &'w [&'a str]) -> Option<&'w [&'a str]> {
        for (at, letter) in cluster.char_indices() {
            if self.valued.contains(letter) {
                let attached = at + letter.len_utf8() < cluster.len();
                return if attached { Some(tail) } else { tail.get(1..) };
            }
            if !self.flags.contains(letter) {
                return None;
            }
        }
        Some(tail)
    }
}

/// Whether any word could be one of the long options `names` (without dashes), abbreviations included, or a cluster
/// holding one of the short `letters`. Letters inside the value of another option count too: being asked once too
/// often is the cheaper mistake.
pub(super) fn mentions<'n>(args: &[&str], names: &[&'n str], letters: &str) -> Option<&'n str> {
    for word in args.iter().take_while(|word| **word != "--") {
        if let Some(long) = word.strip_prefix("--") {
            let name = long.split('=').next().unwrap_or(long);
            if let Some(found) = names.iter().find(|wanted| !name.is_empty() && wanted.starts_with(name)) {
                return Some(found);
            }
        } else if let Some(cluster) = word.strip_prefix('-')
            && cluster.chars().any(|c| letters.contains(c))
        {
            return Some("");
        }
    }
    None
}

/// The values of the option `name` / `letter`: attached, behind `=`, or the next word.
pub(super) fn values<'a>(args: &[&'a str], name: &str, letter: char) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut words = args.iter().take_while(|word| **word != "--");
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            match long.split_once('=') {
                Some((given, value)) if !given.is_empty() && name.starts_with(given) => found.push(value),
                None if !long.is_empty() && name.starts_with(long) => found.extend(words.next()),
                _ => {}
            }
        } else if let Some(cluster) = word.strip_prefix('-')
            && let Some(at) = cluster.find(letter)
        {
            let value = &cluster[at + letter.len_utf8()..];
            if value.is_empty() { found.extend(words.next()) } else { found.push(value) }
        }
    }
    found
}

/// The words that are not options.
pub(super) fn operands<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut options = true;
    for word in args {
        match *word {
            "--" if options => options = false,
            word if options && word.len() > 1 && word.starts_with('-') => {}
            word => found.push(word),
        }
    }
    found
}

/// The words as an owned argument vector.
pub(super) fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
