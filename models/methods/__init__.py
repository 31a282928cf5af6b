"""The table of training methods: a new one is one file here and one line below."""

METHODS = {
    "coquant": "models.methods.coquant:CoQuant",
    "float": "models.methods.float:Float",
    "individual": "models.methods.individual:Individual",
}
