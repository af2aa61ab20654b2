"""Picture features of a frozen pretrained encoder: computed once and kept (`stage`), read by training (`read`)."""
