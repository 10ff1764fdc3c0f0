//! `[admin] token_file` read: the secret that an operator's commands carry, and whether it is kept well enough to be one.
//!
//! Not here: where it is asked for (`admin::guard`).

use super::Surroundings;
use super::problem::{Form, TokenTrouble, What};
use super::table::Value;
use std::fmt;
use std::hint::black_box;
use std::path::Path;

/// Fewer characters than this could be guessed.
const SHORTEST: usize = 16;
/// What is longer is some other file.
const LONGEST: usize = 512;
/// Those bits of a file's mode that let others than its owner have it.
const OTHERS: u32 = 0o077;

/// The token: one word of [`SHORTEST`] to [`LONGEST`] printable characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<[u8]>);

/// What was found at a secret's path.
#[derive(Clone, Debug)]
pub struct SecretFile {
    pub bytes: Vec<u8>,
    /// Of the file, permission bits among them.
    pub mode: u32,
}

impl Token {
    /// Whether that is it. Takes as long for a wrong one as for the right one of the same length, whatever they share.
    pub fn is(&self, said: &[u8]) -> bool {
        let mut differs = u8::from(said.len() != self.0.len());
        for (said, real) in said.iter().zip(self.0.iter().cycle()) {
            differs |= black_box(said ^ real);
        }
        differs == 0
    }

    /// What is in the file, without the blanks around it.
    ///
    /// # Errors
    /// See [`TokenTrouble`].
    pub fn of(file: &SecretFile) -> Result<Token, TokenTrouble> {
        let token = file.bytes.trim_ascii();
        if file.mode & OTHERS != 0 {
            return Err(TokenTrouble::OpenToOthers { mode: file.mode & 0o777 });
        }
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err(TokenTrouble::NotOneWord);
        }
        match token.len() {
            ..SHORTEST => Err(TokenTrouble::Short { length: token.len(), least: SHORTEST }),
            SHORTEST..=LONGEST => Ok(Token(token.into())),
            _ => Err(TokenTrouble::Long { length: token.len(), most: LONGEST }),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)") // configs are printed when tests fail, and logs are read by many
    }
}

/// The token in the file that is named there.
pub(super) fn read(surroundings: &Surroundings<'_>, value: &Value<'_>) -> Option<Token> {
    let file = value.text(Form::FileName, |text| (!text.is_empty()).then_some(text))?;
    let what = match (surroundings.secrets)(Path::new(file)) {
        Ok(found) => match Token::of(&found) {
            Ok(token) => return Some(token),
            Err(trouble) => What::Token { file: file.to_owned(), trouble },
        },
        Err(error) => What::Unreadable { file: file.to_owned(), error: error.to_string() },
    };
    value.note(what);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        Token::of(&SecretFile { bytes: text.into(), mode: 0o100_600 }).unwrap()
    }

    #[test]
    fn only_the_very_token_is_it() {
        let token = token("\n correct-horse-battery \n");
        assert!(token.is(b"correct-horse-battery"));
        for wrong in [
            "",
            "c",
            "correct-horse-batterz",
            "Correct-horse-battery",
            "correct-horse-battery ",
            "correct-horse-batterycorrect-horse-battery",
        ] {
            assert!(!token.is(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn it_is_never_printed() {
        assert_eq!(format!("{:?}", token("correct-horse-battery")), "Token(…)");
    }
}
