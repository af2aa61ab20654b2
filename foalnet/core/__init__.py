"""What every room uses: errors, records, files, locks, processes."""
