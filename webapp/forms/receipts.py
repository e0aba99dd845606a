"""The form on "Where is my request?" (rule 8.2)."""

from __future__ import annotations

from wtforms import StringField, TextAreaField
from wtforms.validators import DataRequired, Length, Regexp

from webapp.forms import PortalForm


class AnswerForm(PortalForm):
    # Not an IntegerField: one with hundreds of digits makes its checks fail (S5).
    question = StringField(validators=[Regexp(r"\A[1-9][0-9]{0,17}\Z")])
    answer = TextAreaField(
        "Your answer",
        validators=[
            DataRequired("Enter your answer"),
            Length(max=1000, message="Your answer must have 1,000 characters or fewer"),
        ],
    )

    @property
    def number(self) -> int:
        """The question that is answered; 0 where there is no such number."""
        return int(self.question.data or 0) if not self.question.errors else 0
