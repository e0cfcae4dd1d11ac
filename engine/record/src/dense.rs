//! State per tag, dense by the tag's number or by its place in a node, in chunks that a snapshot shares.

use std::sync::Arc;

/// Tags in a chunk. A snapshot clones one pointer a chunk; the next write copies that chunk.
pub const CHUNK: usize = 1024;

/// A value per tag. Chunks appear when they are first written.
#[derive(Clone, Debug)]
pub struct Dense<T> {
    chunks: Vec<Option<Arc<[T; CHUNK]>>>,
}

impl<T> Default for Dense<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T: Clone + Default> Dense<T> {
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a tag, if its chunk was ever written.
    #[inline]
    pub fn get(&self, tag: u32) -> Option<&T> {
        let tag = tag as usize;
        self.chunks.get(tag / CHUNK)?.as_ref().map(|chunk| &chunk[tag % CHUNK])
    }

    /// The value of a tag for writing. For batches use [`Dense::update`], which looks up a chunk once for a run of rows.
    #[inline]
    pub fn get_mut(&mut self, tag: u32) -> &mut T {
        &mut self.chunk_mut(tag as usize / CHUNK)[tag as usize % CHUNK]
    }

    /// Calls `each(row, tag, state)` for every row of `tags`, in order.
    #[inline]
    pub fn update(&mut self, tags: &[u32], mut each: impl FnMut(usize, u32, &mut T)) {
        let mut row = 0;
        while row < tags.len() {
            let index = tags[row] as usize / CHUNK;
            let chunk = self.chunk_mut(index);
            while row < tags.len() && tags[row] as usize / CHUNK == index {
                each(row, tags[row], &mut chunk[tags[row] as usize % CHUNK]);
                row += 1;
            }
        }
    }

    /// A chunk for writing: tags `index * CHUNK ..`.
    pub fn chunk_mut(&mut self, index: usize) -> &mut [T; CHUNK] {
        if index >= self.chunks.len() {
            self.chunks.resize_with(index + 1, || None);
        }
        let chunk = self.chunks[index].get_or_insert_with(|| Arc::new(std::array::from_fn(|_| T::default())));
        Arc::make_mut(chunk)
    }

    /// Every tag whose chunk was written, with its value.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.chunks.iter().enumerate().flat_map(|(index, chunk)| {
            chunk.iter().flat_map(move |chunk| {
                chunk.iter().enumerate().map(move |(offset, value)| ((index * CHUNK + offset) as u32, value))
            })
        })
    }

    /// Bytes held by the chunks themselves, without what the values point to.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().flatten().count() * CHUNK * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_it_saw() {
        let mut state = Dense::<u64>::new();
        state.update(&[0, 1, 1025, 2], |row, _, value| *value = row as u64 + 1);
        let snapshot = state.clone();
        *state.get_mut(1025) = 99;
        assert_eq!(snapshot.get(1025), Some(&3));
        assert_eq!(state.get(1025), Some(&99));
        assert_eq!(state.get(2), Some(&4));
        assert_eq!(state.get(5000), None);
    }
}
