//! TEMP
#![allow(missing_docs)]
pub fn home_of(passwd: &[u8], uid: u32) -> Option<String> {
    let text = String::from_utf8_lossy(passwd).into_owned();
    text.lines().find_map(|l| {
        let f: Vec<&str> = l.split(':').collect();
        (f.len() >= 6 && f[2].parse() == Ok(uid)).then(|| f[5].to_owned())
    })
}
