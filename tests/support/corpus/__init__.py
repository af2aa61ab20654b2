"""Small corpora for tests, made at every step of the pipeline; public to every test.

| to have | call |
|---|---|
| checked params, settings | `entries.entry_params`, `entries.make_settings`; `make_params` of each module |
| an utterance, rows of a manifest | `rows.utterance(KEY)`, `rows.make_utterances`, `rows.make_speakers` |
| a video, an AVI in IEMOCAP's form | `videos.numbered_video`, `videos.write_avi` |
| a raw tree, no picture drawn | `trees.iemocap_tree(root)`, `trees.ravdess_tree(root)` |
| a raw tree with picture and sound | `trees.clips_tree(root)` |
| inventory and manifest of a tree | `trees.stages(root)` |
| staged shards | `staging.Place(home=..., root=...).stage()` |
| a store in memory, a run over it | `stores.make_store()`, `stores.make_run` |
| manifest and shards of a store | `stores.write_corpus(home, make_store())` |
| finished runs, a report folder | `results.write_model`, `results.write_report(home, make_params())` |

Nothing here is drawn from a real corpus. The same call gives the same bytes.
"""
