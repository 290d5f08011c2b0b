"""How well editing works on nano: the subject in a picture, two subjects, kept layouts, negative prompts."""
