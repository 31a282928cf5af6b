"""The table of training methods: a new one is one file here and one line below."""

METHODS = {
    "adabits": "models.methods.joint:AdaBits",
    "any_precision": "models.methods.any_precision:AnyPrecision",
    "bitmixer": "models.methods.bitmixer:BitMixer",
    "coquant": "models.methods.coquant:CoQuant",
    "direct": "models.methods.direct:Direct",
    "float": "models.methods.float:Float",
    "individual": "models.methods.individual:Individual",
    "joint": "models.methods.joint:Joint",
    "switchable_bn": "models.methods.joint:SwitchableBN",
}
