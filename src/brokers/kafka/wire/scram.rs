//! The client's half of SCRAM (RFC 5802, RFC 7677) as Kafka speaks it: no channel binding, and names and
//! passwords as the bytes they are (Kafka's `ScramFormatter` does not apply `SASLprep`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256, Sha512};
use thiserror::Error;

/// Kafka lets nobody set more than 16,384; a hostile peer shall not keep a processor busy.
const MOST_ITERATIONS: u32 = 65_536;

/// Fewer would give the password away; Kafka refuses them as well.
const FEWEST_ITERATIONS: u32 = 4_096;

const LONGEST_MESSAGE: usize = 4_096;

/// The hash of a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScramHash {
    Sha256,
    Sha512,
}

/// Why a SCRAM conversation ended.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum ScramError {
    #[error("its message is not one of SCRAM")]
    Malformed,
    #[error("it answered with another nonce")]
    AnotherNonce,
    #[error(
        "it wants {0} iterations; between {FEWEST_ITERATIONS} and {MOST_ITERATIONS} are accepted"
    )]
    Iterations(u32),
    #[error("it refused the login: {0}")]
    Refused(String),
    #[error("it does not know the password itself: this is not the broker it pretends to be")]
    WrongServerSignature,
}

/// A conversation after the first message was made.
#[derive(Debug)]
pub(super) struct ScramClient {
    hash: ScramHash,
    password: String,
    nonce: String,
    first_bare: String,
}

/// What is left to check once the proof was sent.
#[derive(Debug)]
pub(super) struct AwaitedSignature {
    signature: Vec<u8>,
}

impl ScramClient {
    /// `nonce` is random and printable, without commas.
    pub(super) fn new(hash: ScramHash, username: &str, password: &str, nonce: String) -> Self {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        Self {
            hash,
            password: password.to_owned(),
            first_bare: format!("n={name},r={nonce}"),
            nonce,
        }
    }

    pub(super) fn first_message(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// Answers the server's first message with the proof.
    pub(super) fn proof(
        self,
        server_first: &[u8],
    ) -> Result<(String, AwaitedSignature), ScramError> {
        let server_first = text(server_first)?;
        let (nonce, salt, iterations) = challenge(server_first)?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ScramError::AnotherNonce);
        }
        if !(FEWEST_ITERATIONS..=MOST_ITERATIONS).contains(&iterations) {
            return Err(ScramError::Iterations(iterations));
        }
        let hash = self.hash;
        let salted = hash.salted_password(self.password.as_bytes(), &salt, iterations);
        let client_key = hash.hmac(&salted, b"Client Key");
        // `biws` is "n,,": no channel binding.
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{server_first},{without_proof}", self.first_bare);
        let mut proof = client_key.clone();
        xor(
            &mut proof,
            &hash.hmac(&hash.digest(&client_key), signed.as_bytes()),
        );
        let server_key = hash.hmac(&salted, b"Server Key");
        let awaited = AwaitedSignature {
            signature: hash.hmac(&server_key, signed.as_bytes()),
        };
        Ok((
            format!("{without_proof},p={}", STANDARD.encode(proof)),
            awaited,
        ))
    }
}

impl AwaitedSignature {
    /// Checks that the server knows the password too.
    pub(super) fn check(&self, server_final: &[u8]) -> Result<(), ScramError> {
        let server_final = text(server_final)?;
        let attribute = server_final.split(',').next().unwrap_or_default();
        if let Some(reason) = attribute.strip_prefix("e=") {
            return Err(ScramError::Refused(reason.to_owned()));
        }
        let encoded = attribute.strip_prefix("v=").ok_or(ScramError::Malformed)?;
        let signature = STANDARD
            .decode(encoded)
            .map_err(|_| ScramError::Malformed)?;
        if signature == self.signature {
            Ok(())
        } else {
            Err(ScramError::WrongServerSignature)
        }
    }
}

impl ScramHash {
    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => sha256_mac(key)
                .chain_update(data)
                .finalize()
                .into_bytes()
                .to_vec(),
            Self::Sha512 => sha512_mac(key)
                .chain_update(data)
                .finalize()
                .into_bytes()
                .to_vec(),
        }
    }

    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    /// `Hi` of RFC 5802.
    fn salted_password(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut block = self.hmac(password, &[salt, &1_u32.to_be_bytes()].concat());
        let mut salted = block.clone();
        for _ in 1..iterations {
            block = self.hmac(password, &block);
            xor(&mut salted, &block);
        }
        salted
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn sha256_mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("a key of any length")
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn sha512_mac(key: &[u8]) -> Hmac<Sha512> {
    Hmac::new_from_slice(key).expect("a key of any length")
}

/// Nonce, salt and iterations of `r=…,s=…,i=…`.
fn challenge(server_first: &str) -> Result<(&str, Vec<u8>, u32), ScramError> {
    let mut attributes = server_first.split(',');
    let mut attribute = |name: &str| {
        let value = attributes
            .next()
            .and_then(|attribute| attribute.strip_prefix(name));
        value.ok_or(ScramError::Malformed)
    };
    let nonce = attribute("r=")?;
    let salt = attribute("s=")?;
    let iterations = attribute("i=")?;
    let salt = STANDARD.decode(salt).map_err(|_| ScramError::Malformed)?;
    let iterations = iterations.parse().map_err(|_| ScramError::Malformed)?;
    Ok((nonce, salt, iterations))
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > LONGEST_MESSAGE {
        return Err(ScramError::Malformed);
    }
    std::str::from_utf8(message).map_err(|_| ScramError::Malformed)
}

fn xor(bytes: &mut [u8], with: &[u8]) {
    for (byte, other) in bytes.iter_mut().zip(with) {
        *byte ^= other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The conversation of RFC 7677, section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &[u8] =
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn client() -> ScramClient {
        ScramClient::new(ScramHash::Sha256, "user", "pencil", NONCE.to_owned())
    }

    #[test]
    fn it_speaks_as_the_standard_shows() {
        let client = client();
        assert_eq!(client.first_message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (proof, awaited) = client.proof(CHALLENGE).unwrap();
        assert_eq!(
            proof,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let good = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(awaited.check(good), Ok(()));
        let other = b"v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(awaited.check(other), Err(ScramError::WrongServerSignature));
        let refused = ScramError::Refused("invalid-proof".to_owned());
        assert_eq!(awaited.check(b"e=invalid-proof"), Err(refused));
        assert_eq!(awaited.check(b"hello"), Err(ScramError::Malformed));
    }

    #[test]
    fn a_challenge_that_is_none_is_refused() {
        let check = |challenge: &[u8], expected: ScramError| {
            assert_eq!(client().proof(challenge).unwrap_err(), expected);
        };
        check(b"r=other,s=AAAA,i=4096", ScramError::AnotherNonce);
        check(
            b"r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096",
            ScramError::AnotherNonce,
        );
        check(
            b"r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=1",
            ScramError::Iterations(1),
        );
        check(
            b"r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4294967295",
            ScramError::Iterations(u32::MAX),
        );
        check(
            b"r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=-1",
            ScramError::Malformed,
        );
        check(b"r=rOprNGfwEbeRWgbNEkqOx,s=%,i=4096", ScramError::Malformed);
        check(b"\xff", ScramError::Malformed);
        check(&[b'r'; 5_000], ScramError::Malformed);
        check(b"", ScramError::Malformed);
    }

    #[test]
    fn a_comma_in_a_name_does_not_end_it() {
        let client = ScramClient::new(ScramHash::Sha512, "a,b=c", "x", "n".to_owned());
        assert_eq!(client.first_message(), "n,,n=a=2Cb=3Dc,r=n");
    }
}
