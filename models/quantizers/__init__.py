"""The tables of quantizers: a new one is one file here and one line below."""

WEIGHT_QUANTIZERS = {
    "coquant_trunc": "models.quantizers.truncated:TruncatedWeight",
    "dorefa": "models.quantizers.dorefa:DoReFaWeight",
    "lsq_floor": "models.quantizers.lsq:LsqFloorWeight",
}

ACTIVATION_QUANTIZERS = {
    "pact": "models.quantizers.pact:Pact",
}
