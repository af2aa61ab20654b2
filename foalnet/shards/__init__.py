"""Reads and writes shards: deterministic WebDataset tars with an index against which every byte is verified."""

from foalnet.shards.check import fault_of
from foalnet.shards.format import (
    META,
    NO_BOX,
    AudioMeta,
    ListenerMeta,
    SampleMeta,
    TableMeta,
    VideoMeta,
    meta_bytes,
    split_frames,
    table_bytes,
    valid_key,
)
from foalnet.shards.index import INDEX, ShardEntry, as_entry, index_bytes, read_index
from foalnet.shards.read import ShardSet, open_shards
from foalnet.shards.sample import Sample
from foalnet.shards.verify import verify
from foalnet.shards.write import write_shard

__all__ = [
    "INDEX",
    "META",
    "NO_BOX",
    "AudioMeta",
    "ListenerMeta",
    "Sample",
    "SampleMeta",
    "ShardEntry",
    "ShardSet",
    "TableMeta",
    "VideoMeta",
    "as_entry",
    "fault_of",
    "index_bytes",
    "meta_bytes",
    "open_shards",
    "read_index",
    "split_frames",
    "table_bytes",
    "valid_key",
    "verify",
    "write_shard",
]
