//! Keys as bytes: every key type writes itself so that byte order is the order of the type and no key
//! is the beginning of another one. Both properties carry over to tuples, which simply concatenate.

/// A type that can be (part of) a key.
///
/// Laws, which the tests check for every type of this crate: `encode(a) < encode(b)` exactly when
/// `a < b`; no encoding is a proper prefix of another; `decode` takes exactly what `encode` wrote and
/// refuses every other spelling of the same key.
pub trait KeyCode: Sized {
    /// Appends the bytes of the key.
    fn encode(&self, out: &mut Vec<u8>);

    /// Takes one key from the front of `bytes`; `None` if there is none, in which case `bytes` is
    /// left in an unspecified place.
    fn decode(bytes: &mut &[u8]) -> Option<Self>;
}

/// A value whose bytes begin the bytes of some keys of type `K`: the first component or components of
/// a tuple, or [`All`].
pub trait KeyHead<K> {
    /// Appends the bytes that the keys begin with.
    fn encode_head(&self, out: &mut Vec<u8>);
}

/// The head that every key has: a scan over it visits the whole table.
#[derive(Clone, Copy, Debug)]
pub struct All;

impl<K: KeyCode> KeyHead<K> for All {
    fn encode_head(&self, _out: &mut Vec<u8>) {}
}

macro_rules! big_endian_key {
    ($($int:ty),*) => {$(
        impl KeyCode for $int {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                let (head, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some(<$int>::from_be_bytes(*head))
            }
        }
    )*};
}

big_endian_key!(u8, u16, u32, u64, u128);

impl KeyCode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        match u8::decode(bytes)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl<const N: usize> KeyCode for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(*head)
    }
}

/// Bytes of any length: a zero byte is written as `00 01` and the end as `00 00`, so that a shorter
/// string sorts before its continuations and the end is never mistaken for content.
impl KeyCode for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self, out);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let mut content = Vec::new();
        loop {
            match u8::decode(bytes)? {
                0 => match u8::decode(bytes)? {
                    0 => return Some(content),
                    1 => content.push(0),
                    _ => return None,
                },
                byte => content.push(byte),
            }
        }
    }
}

/// As the UTF-8 bytes, whose order is the order of the characters.
impl KeyCode for String {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self.as_bytes(), out);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        String::from_utf8(Vec::<u8>::decode(bytes)?).ok()
    }
}

fn encode_bytes(content: &[u8], out: &mut Vec<u8>) {
    for &byte in content {
        out.push(byte);
        if byte == 0 {
            out.push(1);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

macro_rules! tuple_key {
    ($($name:ident),+) => {
        impl<$($name: KeyCode),+> KeyCode for ($($name,)+) {
            #[allow(non_snake_case)]
            fn encode(&self, out: &mut Vec<u8>) {
                let ($($name,)+) = self;
                $($name.encode(out);)+
            }
            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                Some(($($name::decode(bytes)?,)+))
            }
        }
    };
}

tuple_key!(A, B);
tuple_key!(A, B, C);
tuple_key!(A, B, C, D);
tuple_key!(A, B, C, D, E);

macro_rules! tuple_head {
    ($head:ty, $key:ty, $($name:ident),+) => {
        impl<$($name: KeyCode),+> KeyHead<$key> for $head {
            fn encode_head(&self, out: &mut Vec<u8>) {
                self.encode(out);
            }
        }
    };
}

tuple_head!(A, (A, B), A, B);
tuple_head!(A, (A, B, C), A, B, C);
tuple_head!((A, B), (A, B, C), A, B, C);
tuple_head!(A, (A, B, C, D), A, B, C, D);
tuple_head!(A, (A, B, C, D, E), A, B, C, D, E);
tuple_head!((A, B), (A, B, C, D, E), A, B, C, D, E);
tuple_head!((A, B, C), (A, B, C, D, E), A, B, C, D, E);
tuple_head!((A, B), (A, B, C, D), A, B, C, D);
tuple_head!((A, B, C), (A, B, C, D), A, B, C, D);
