"""Everything that reads run directories: evaluations, comparisons, pictures, pages, films, exports, repetitions."""
