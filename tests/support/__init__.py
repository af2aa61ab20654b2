"""What several tests share: builders of corpora, shards and runs, fake decoders and detectors, readers of pages."""
