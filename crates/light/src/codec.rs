//! How numbers and bytes are written in the JSON of both documents: each in one way only. 64-bit numbers are decimal
//! text, because not every JSON reader keeps more than 53 bits.

/// 64-bit numbers as decimal text.
pub(crate) mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        let value: u64 = text.parse().map_err(|_| D::Error::custom(format!("`{text}` is no number")))?;
        if value.to_string() == text { Ok(value) } else { Err(D::Error::custom("a number has another form")) }
    }
}

/// Bytes as lower-case hex.
pub(crate) mod hexed {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: impl AsRef<[u8]>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, A: TryFrom<Vec<u8>>>(from: D) -> Result<A, D::Error> {
        let text = String::deserialize(from)?;
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(D::Error::custom("hex is written in lower case"));
        }
        let bytes = hex::decode(&text).map_err(|e| D::Error::custom(format!("hex: {e}")))?;
        let length = bytes.len();
        A::try_from(bytes).map_err(|_| D::Error::custom(format!("{length} bytes are not what belongs here")))
    }
}

/// Bytes as padded standard base64: for what is long.
pub(crate) mod base64ed {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(&text).map_err(|e| D::Error::custom(format!("base64: {e}")))
    }
}

/// [`base64ed`], or null.
pub(crate) mod base64ed_or_null {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| STANDARD.decode(&text).map_err(|e| D::Error::custom(format!("base64: {e}"))))
            .transpose()
    }
}
