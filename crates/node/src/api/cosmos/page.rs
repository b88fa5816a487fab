//! Pages of lists, in the way clients of the Cosmos family ask for them.

use dodona_proto::cosmos::base::query::v1beta1::{PageRequest, PageResponse};

use crate::api::Status;

/// Rows of a page for which no number was asked.
const DEFAULT: usize = 100;
/// Most rows of a page.
const MAX_LIMIT: usize = 1_000;
/// Farthest place to which a page may skip; from there on there are keys.
const MAX_OFFSET: u64 = 10_000;
/// Rows that are counted, or looked at for a page of some of them.
const MAX_SEEN: usize = 10_000;

/// What was asked for, within bounds.
pub(super) struct Page {
    /// Where the last page said that this one begins.
    pub key: Vec<u8>,
    /// Rows to be passed over.
    pub offset: usize,
    /// Rows to be shown, at least one.
    pub limit: usize,
    /// The last rows first.
    pub reverse: bool,
    /// Whether to say how many there are.
    pub count: bool,
}

impl Page {
    /// Reads a request; none is the first page.
    pub fn of(request: Option<PageRequest>) -> Result<Self, Status> {
        let q = request.unwrap_or_default();
        if !q.key.is_empty() && q.offset > 0 {
            return Err(Status::invalid("give either key or offset of a page, not both"));
        }
        if q.offset > MAX_OFFSET {
            return Err(Status::invalid(format!("offset is at most {MAX_OFFSET}; go on with next_key")));
        }
        let limit = if q.limit == 0 { DEFAULT } else { q.limit.min(MAX_LIMIT as u64) as usize };
        Ok(Self { key: q.key, offset: q.offset as usize, limit, reverse: q.reverse, count: q.count_total })
    }

    /// The page of a list that is complete in memory. Keys are places in it.
    pub fn cut<T>(&self, mut rows: Vec<T>) -> Result<(Vec<T>, Option<PageResponse>), Status> {
        let total = rows.len();
        if self.reverse {
            rows.reverse();
        }
        let start = if self.key.is_empty() {
            self.offset
        } else {
            let key: [u8; 8] = self.key.as_slice().try_into().map_err(|_| not_ours())?;
            u64::from_be_bytes(key).min(total as u64) as usize
        };
        let end = start.saturating_add(self.limit);
        let next_key = if end < total { (end as u64).to_be_bytes().to_vec() } else { Vec::new() };
        let rows = rows.into_iter().skip(start).take(self.limit).collect();
        Ok((rows, Some(PageResponse { next_key, total: total as u64 })))
    }

    /// The page of a table that is read from a key on: `read` gives so many rows, and `key` a row's key.
    pub fn scan<T, const N: usize>(
        &self,
        read: impl FnOnce([u8; N], usize) -> Result<Vec<T>, Status>,
        key: impl Fn(&T) -> [u8; N],
        total: u64,
    ) -> Result<(Vec<T>, Option<PageResponse>), Status> {
        // One more row says where the next page begins.
        let mut rows = read(self.start()?, self.offset + self.limit + 1)?;
        let next_key = rows.get(self.offset + self.limit).map_or(Vec::new(), |row| key(row).to_vec());
        rows.truncate(self.offset + self.limit);
        let rows = rows.into_iter().skip(self.offset).collect();
        Ok((rows, Some(PageResponse { next_key, total })))
    }

    /// The same of a table of which only some rows are shown. A page is short when many others lie between them; its key
    /// says where to go on.
    pub fn sift<T, const N: usize>(
        &self,
        read: impl FnOnce([u8; N], usize) -> Result<Vec<T>, Status>,
        key: impl Fn(&T) -> [u8; N],
        shown: impl Fn(&T) -> bool,
    ) -> Result<(Vec<T>, Option<PageResponse>), Status> {
        let (mut rows, mut next_key, mut skip) = (Vec::new(), Vec::new(), self.offset);
        for (seen, row) in read(self.start()?, MAX_SEEN + 1)?.into_iter().enumerate() {
            let fits = shown(&row);
            if seen == MAX_SEEN || (fits && rows.len() == self.limit) {
                next_key = key(&row).to_vec();
                break;
            }
            if fits && skip > 0 {
                skip -= 1;
            } else if fits {
                rows.push(row);
            }
        }
        if skip > 0 && !next_key.is_empty() {
            return Err(Status::invalid("the offset leads too far; go on with next_key"));
        }
        Ok((rows, Some(PageResponse { next_key, total: 0 })))
    }

    /// How many rows there are, if that was asked: `count` gives the number up to the one it is told. 0 says that nobody
    /// has counted.
    pub fn total(&self, count: impl FnOnce(usize) -> Result<usize, Status>) -> Result<u64, Status> {
        if !self.count || !self.key.is_empty() {
            return Ok(0);
        }
        let total = count(MAX_SEEN + 1)?;
        Ok(if total > MAX_SEEN { 0 } else { total as u64 })
    }

    /// The first key of a table's page.
    fn start<const N: usize>(&self) -> Result<[u8; N], Status> {
        if self.reverse {
            return Err(Status::invalid("this list is not read backwards"));
        }
        match self.key.as_slice() {
            [] => Ok([0; N]),
            key => key.try_into().map_err(|_| not_ours()),
        }
    }
}

fn not_ours() -> Status {
    Status::invalid("the page's key is not one that this list gave out")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(key: Vec<u8>, offset: u64, limit: u64, reverse: bool) -> Result<Page, Status> {
        Page::of(Some(PageRequest { key, offset, limit, count_total: false, reverse }))
    }

    #[test]
    fn pages_of_a_list_follow_one_another_and_end() {
        let rows: Vec<u32> = (0..7).collect();
        let mut seen = Vec::new();
        let mut key = Vec::new();
        loop {
            let (part, about) = page(key, 0, 3, false).unwrap().cut(rows.clone()).unwrap();
            seen.extend(part);
            key = about.unwrap().next_key;
            if key.is_empty() {
                break;
            }
        }
        assert_eq!(seen, rows);
        assert_eq!(page(vec![], 5, 9, true).unwrap().cut(rows.clone()).unwrap().0, [1, 0]);
        assert!(page(vec![], 10_000, u64::MAX, false).unwrap().cut(rows.clone()).unwrap().0.is_empty());
        assert!(page(vec![255; 8], 0, 1, false).unwrap().cut(rows.clone()).unwrap().0.is_empty());
        assert!(page(vec![1], 0, 1, false).unwrap().cut(rows).is_err());
        assert!(page(vec![1], 1, 1, false).is_err());
        assert!(page(vec![], u64::MAX, 1, false).is_err());
    }

    #[test]
    fn pages_of_a_table_follow_one_another_and_end() {
        let table: Vec<[u8; 20]> = (0..5u8).map(|n| [n; 20]).collect();
        let read = |start: [u8; 20], limit: usize| {
            Ok(table.iter().filter(|row| **row >= start).take(limit).copied().collect())
        };
        let (first, about) = page(vec![], 1, 2, false).unwrap().scan(read, |row| *row, 5).unwrap();
        assert_eq!(first, [[1; 20], [2; 20]]);
        let key = about.unwrap().next_key;
        let (rest, about) = page(key, 0, 2, false).unwrap().scan(read, |row| *row, 5).unwrap();
        assert_eq!((rest, about.unwrap().next_key), (vec![[3; 20], [4; 20]], vec![]));
        assert!(page(vec![1], 0, 1, false).unwrap().scan(read, |row| *row, 5).is_err());
        assert!(page(vec![], 0, 1, true).unwrap().scan(read, |row| *row, 5).is_err());
    }

    #[test]
    fn pages_of_some_rows_follow_one_another_and_end() {
        let read = |start: [u8; 2], limit: usize| {
            let first = u16::from_be_bytes(start);
            Ok((first..20_050).take(limit).map(u16::to_be_bytes).collect::<Vec<_>>())
        };
        let shown = |row: &[u8; 2]| u16::from_be_bytes(*row) >= 20_000;
        let (mut seen, mut key, mut pages) = (0, Vec::new(), 0);
        loop {
            let (rows, about) = page(key, 0, 30, false).unwrap().sift(read, |row| *row, shown).unwrap();
            (seen, pages) = (seen + rows.len(), pages + 1);
            key = about.unwrap().next_key;
            if key.is_empty() {
                break;
            }
        }
        // Two pages found nothing within what they looked at.
        assert_eq!((seen, pages), (50, 4));
        let all = |_: &[u8; 2]| true;
        let (rows, _) = page(vec![], 5, 2, false).unwrap().sift(read, |row| *row, all).unwrap();
        assert_eq!(rows, [[0, 5], [0, 6]]);
        assert!(page(vec![], 1, 1, false).unwrap().sift(read, |row| *row, |_| false).is_err());
    }

    #[test]
    fn totals_are_counted_when_asked_for_and_up_to_a_bound() {
        let asked = PageRequest { count_total: true, ..Default::default() };
        let page = Page::of(Some(asked.clone())).unwrap();
        assert_eq!(page.total(|most| Ok(most.min(7))).unwrap(), 7);
        assert_eq!(page.total(|most| Ok(most.min(1_000_000))).unwrap(), 0);
        assert_eq!(Page::of(None).unwrap().total(|_| panic!("nobody asked")).unwrap(), 0);
        let later = Page::of(Some(PageRequest { key: vec![1], ..asked })).unwrap();
        assert_eq!(later.total(|_| panic!("it was said on the first page")).unwrap(), 0);
    }
}
