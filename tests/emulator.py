"""Prepares a stack on an emulator for the demo, and prints its addresses.

    emulator.py STACK  ->  API_URL SOCKET_URL DIRECTORY_TABLE

The stack's outputs are host names of AWS; the emulator serves both APIs below /_aws/execute-api instead. This script
also verifies the sender of email, which an operator does once per account. AWS_ENDPOINT_URL is the emulator's address.
"""

import os
import re
import sys

import boto3


def main(stack: str) -> None:
    described = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    parameters = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in described["Parameters"]}

    boto3.client("sesv2").create_email_identity(EmailIdentity=parameters["EmailFrom"])

    endpoint = os.environ["AWS_ENDPOINT_URL"]
    api_url = f"{endpoint}/_aws/execute-api/{api_id(outputs['ApiUrl'])}/$default"
    socket_url = f"{endpoint}/_aws/execute-api/{api_id(outputs['SocketUrl'])}/{parameters['Stage']}"
    print(api_url, socket_url.replace("http", "ws", 1), outputs["DirectoryTableName"])


def api_id(url: str) -> str:
    found = re.match(r"\w+://(\w+)\.execute-api\.", url)
    if not found:
        sys.exit(f"no API id in {url}")
    return found[1]


if __name__ == "__main__":
    main(*sys.argv[1:])
