"""The tables of quantizers: a new one is one file here and one line below."""

WEIGHT_QUANTIZERS = {
    "adabits": "models.quantizers.adabits:AdaBitsWeight",
    "coquant_trunc": "models.quantizers.truncated:TruncatedWeight",
    "dorefa": "models.quantizers.dorefa:DoReFaWeight",
    "double_rounding": "models.quantizers.double_rounding:DoubleRoundingWeight",
    "lsq_floor": "models.quantizers.lsq:LsqFloorWeight",
    "one_weight": "models.quantizers.one_weight:OneWeight",
}

ACTIVATION_QUANTIZERS = {
    "lsq_floor": "models.quantizers.lsq_activation:LsqFloorActivation",
    "moving_range": "models.quantizers.moving_range:MovingRangeActivation",
    "pact": "models.quantizers.pact:Pact",
}
