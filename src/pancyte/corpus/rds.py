"""x"""
ISOLATED = True
def recognises(path, head):
    return False
