"""CT: preprocess -> network -> detect -> score -> match -> doubts -> localize, a file a step."""
