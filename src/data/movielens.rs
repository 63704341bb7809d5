//! MovieLens: editions, titles and genres.
