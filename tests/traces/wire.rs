//! Protocol buffers as they are on the wire: enough to read spans without the code that wrote them.

/// A field's value.
#[derive(Debug, Clone)]
pub(crate) enum Value<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

/// The fields of a message: their numbers and values.
pub(crate) fn fields(mut message: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut message)),
            1 => Value::Number(u64::from_le_bytes(take(&mut message, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut message) as usize;
                Value::Bytes(take(&mut message, length))
            }
            5 => Value::Number(u64::from(u32::from_le_bytes(take(&mut message, 4).try_into().unwrap()))),
            kind => panic!("no wire type {kind}"),
        };
        found.push((key >> 3, value));
    }
    found
}

/// The values of a field that holds bytes: text, or messages.
pub(crate) fn all(message: &[u8], number: u64) -> Vec<&[u8]> {
    let fields = fields(message).into_iter();
    fields
        .filter_map(|(own, value)| match value {
            Value::Bytes(bytes) if own == number => Some(bytes),
            _ => None,
        })
        .collect()
}

/// The last number of a field; zero where there is none.
pub(crate) fn number(message: &[u8], number: u64) -> u64 {
    let fields = fields(message).into_iter();
    let mut numbers = fields.filter_map(|(own, value)| match value {
        Value::Number(value) if own == number => Some(value),
        _ => None,
    });
    numbers.next_back().unwrap_or_default()
}

fn take<'m>(message: &mut &'m [u8], length: usize) -> &'m [u8] {
    let (taken, rest) = message.split_at(length);
    *message = rest;
    taken
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(message, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}
